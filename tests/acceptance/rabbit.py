"""A private RabbitMQ: own ports, own directory, own name server, and nothing of it left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from kombu.connection import Connection

from jobkit.testing import eventually

#: Not the wrapper on PATH, which changes the user and the directory.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def free_ports(count: int) -> list[int]:
    """TCP ports nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Start a node and give its URL; without one the test is skipped, in CI it fails."""
    if not SERVER.exists() or shutil.which("epmd") is None:
        reason = "NOT TESTED on RabbitMQ: sudo apt-get install rabbitmq-server"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    port, distribution, names = free_ports(3)
    env = {
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": f"jobkit-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
    }
    with _process(["epmd", "-port", str(names)], env, folder), _process([str(SERVER)], env, folder) as server:
        url = f"amqp://guest:guest@127.0.0.1:{port}//"
        eventually(lambda: server.poll() is not None or _answers(url), 60, "RabbitMQ does not come up")
        assert server.poll() is None, (folder / "rabbitmq-server.log").read_text()
        yield url


def _answers(url: str) -> bool:
    with Connection(url, connect_timeout=5) as connection:
        try:
            connection.connect()
        except OSError:
            return False
    return True


@contextmanager
def _process(command: Sequence[str], env: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **env}, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, how)
                process.wait(20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue

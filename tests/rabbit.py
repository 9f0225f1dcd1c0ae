"""A private RabbitMQ: own ports, own directory, own name server, and nothing of it left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from jobkit.testing import eventually

#: Not the wrapper on PATH, which changes the user and the directory.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
#: Where the node of these processes is: its ports for AMQP and for its HTTP API.
VARIABLE = "JOBKIT_TEST_RABBITMQ"


def free_ports(count: int) -> list[int]:
    """TCP ports nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Start a node and give what `VARIABLE` is to say of it; without one the test is skipped, in CI it fails."""
    if not SERVER.exists() or shutil.which("epmd") is None:
        reason = "NOT TESTED on RabbitMQ: sudo apt-get install rabbitmq-server"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    port, api, distribution, names = free_ports(4)
    (folder / "plugins").write_text("[rabbitmq_management].")
    (folder / "rabbitmq.conf").write_text(
        f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {api}\nmanagement.rates_mode = none\n"
    )
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
        node = f"{port} {api}"
        eventually(lambda: server.poll() is not None or _answers(node), 60, "RabbitMQ does not come up")
        assert server.poll() is None, (folder / "rabbitmq-server.log").read_text()
        yield node


def room(name: str) -> str:
    """The URL of a virtual host on the node that `VARIABLE` names; it is made where there is none."""
    node = os.environ[VARIABLE]
    _ask(node, "PUT", f"vhosts/{name}")
    return f"amqp://guest:guest@127.0.0.1:{node.split()[0]}/{name}"


def close(name: str) -> None:
    """Delete a virtual host, if it is there."""
    _ask(os.environ[VARIABLE], "DELETE", f"vhosts/{name}")


def _ask(node: str, method: str, path: str) -> None:
    url = f"http://127.0.0.1:{node.split()[1]}/api/{path}"
    key = b64encode(b"guest:guest").decode()
    request = Request(url, method=method, headers={"Authorization": f"Basic {key}", "Content-Type": "application/json"})
    try:
        urlopen(request, timeout=30).close()
    except HTTPError as error:
        if error.code != 404:  # there was nothing to delete
            raise


def _answers(node: str) -> bool:
    try:
        _ask(node, "GET", "aliveness-test/%2F")
    except (URLError, ConnectionError):
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
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

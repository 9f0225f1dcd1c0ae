"""The processes of the demonstration: real ``celery`` commands, with their logs, gone when the demonstration is."""

from __future__ import annotations

import http.client
import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from jobkit.demo import examples
from jobkit.errors import JobkitError

#: Seconds a process has to come up, and to stop.
START_TIMEOUT, STOP_TIMEOUT = 60.0, 5.0
#: Lines of a log that are shown when something fails.
LAST_LINES = 12
#: Where Flower is looked for by people.
FLOWER_PORT = 5555

_WARDEN = Path(__file__).parents[1] / "embedded" / "warden.py"


class NotUp(JobkitError):
    """{name} {what}. The end of its log, {log}:{tail}"""

    name: str
    log: str


class Process:
    """One ``celery`` command in the background.

    Parameters: `name` and `address` for people; the `folder` of its log; the words after ``celery -A workers.app``;
    `ready`, which says whether it is up. A warden stands between us and it, so that it ends even when we are killed.
    """

    def __init__(self, name: str, address: str, folder: Path, *words: str, ready: Callable[[Process], bool]) -> None:
        self.name, self.address, self.took = name, address, 0.0
        self.log = folder / f"{name.lower().replace(' ', '-')}.log"
        self._ready, self._began = ready, time.monotonic()
        command = [sys.executable, "-m", "celery", "-A", examples.APP, "--no-color", *words]
        warden = [sys.executable, "-I", "-S", str(_WARDEN), str(os.getpid()), str(folder), "keep"]
        with self.log.open("wb") as log:
            self._warden = subprocess.Popen(
                [*warden, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": examples.python_path(), "TMPDIR": str(folder)},
                start_new_session=True,  # Ctrl-C is for us: we stop them in order
            )

    def wait_until_ready(self) -> None:
        """Return when it is up; raises `NotUp` when it ends or takes longer than `START_TIMEOUT`."""
        while not self._ready(self):
            self.check()
            if time.monotonic() - self._began > START_TIMEOUT:
                raise self.failure(f"was not ready after {START_TIMEOUT:g} seconds")
            time.sleep(0.05)
        self.took = time.monotonic() - self._began

    def check(self) -> None:
        """Raise `NotUp` when the process has ended."""
        if self._warden.poll() is not None:
            raise self.failure("has ended")

    def says(self, words: str) -> bool:
        """Whether the log has these words in it."""
        return words in self.log.read_text(errors="replace")

    def ask_to_stop(self) -> None:
        """Send SIGTERM and return at once."""
        self._warden.terminate()

    def stop(self) -> None:
        """Return when the process and all it started are gone, by force after `STOP_TIMEOUT` seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._warden.wait(STOP_TIMEOUT)
        with suppress(ProcessLookupError):  # usually nothing of its process group is left
            os.killpg(self._warden.pid, signal.SIGKILL)
        self._warden.wait()

    def failure(self, what: str) -> NotUp:
        """The error to raise when it did not do as it should, with the end of its log, which is kept."""
        kept = Path(tempfile.mkdtemp(prefix="jobkit-demo-log-")) / self.log.name
        shutil.copy(self.log, kept)
        tail = kept.read_text(errors="replace").splitlines()[-LAST_LINES:] or ["(empty)"]
        return NotUp(name=self.name, what=what, log=str(kept), tail="".join(f"\n  {line}" for line in tail))


def worker(number: int, folder: Path) -> Process:
    """A worker with two processes."""
    name, node = f"Worker {number}", f"demo-{number}@{platform.node()}"
    words = ("worker", "--hostname", node, "--concurrency", "2", "--loglevel", "INFO")
    return Process(name, node, folder, *words, ready=lambda it: it.says(" ready."))


def beat(folder: Path) -> Process:
    """A beat over definitions: it needs no file."""
    words = ("beat", "--scheduler", "jobkit.ext.beat:Scheduler", "--pidfile=", "--loglevel", "INFO")
    return Process("Beat", "the scheduler", folder, *words, ready=lambda it: it.says("beat: Starting"))


def has_flower() -> bool:
    """Whether Flower is installed."""
    return importlib.util.find_spec("flower") is not None


def flower(folder: Path) -> Process:
    """Flower, on its usual port where that is free."""
    port = free_port(FLOWER_PORT)
    address = f"http://127.0.0.1:{port}"
    words = ("flower", "--address=127.0.0.1", f"--port={port}")
    return Process("Flower", f"{address}/jobs", folder, *words, ready=lambda it: answers(address))


def stop(processes: list[Process]) -> None:
    """Stop all of them at once."""
    for process in processes:
        process.ask_to_stop()
    for process in processes:
        process.stop()


def answers(address: str) -> bool:
    """Whether Flower is up at `address`."""
    connection = http.client.HTTPConnection(address.partition("://")[2], timeout=1)
    with suppress(OSError, http.client.HTTPException), closing(connection):
        connection.request("GET", "/healthcheck")
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


def free_port(wanted: int) -> int:
    """`wanted` where it is free on 127.0.0.1, else any other."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")

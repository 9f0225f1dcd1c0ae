"""Workers that start in a tenth of a second: forks of one process that has imported everything they need.

A worker of its own takes most of a second of processor time to import Celery.  Where one is killed every second, that
would be all there is to see.  What is forked has no thread, no connection and no app yet: from there on it is a worker
like any other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

#: What a worker would import.
NEEDED = (
    "celery.__main__", "celery.bin.celery", "celery.bin.worker", "celery.apps.worker", "celery.worker.consumer",
    "celery.concurrency.prefork", "celery.concurrency.thread", "celery.events.state", "kombu.transport.redis",
    "celery.backends.redis", "jobkit.ext.request", "tests.chaos.app",
)  # fmt: skip


class Forked:
    """A process that somebody else has to reap, as much of `subprocess.Popen` as workers need."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """None while it runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            self.returncode = 0  # nobody knows
        return self.returncode

    def wait(self, timeout: float = 30.0) -> int:
        """Return when it has ended."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        return 0

    def kill(self) -> None:
        """Kill it."""
        os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        os.kill(self.pid, signal.SIGTERM)


class Nursery:
    """The process that is forked; it ends with who started it.

    Parameters: `env`, variables that are read when Celery is imported.
    """

    def __init__(self, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        command, pipe = [sys.executable, "-m", __name__], subprocess.PIPE
        self._process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=pipe, stdout=pipe, text=True
        )

    def fork(self, argv: Sequence[str], env: Mapping[str, str], output: Path) -> Forked:
        """A worker with these arguments, these variables, and this file for what it prints."""
        assert self._process.stdin
        assert self._process.stdout
        order = {"argv": list(argv), "env": dict(env), "output": str(output)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Forked(int(self._process.stdout.readline()))

    def close(self) -> None:
        """End it; what it has forked goes on."""
        self._process.communicate()


def main() -> None:
    """Fork as often as told to."""
    for name in NEEDED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order)
        while os.getpgid(pid) != pid:
            time.sleep(0.001)  # who hears of it may kill its whole group
        print(pid, flush=True)


def _become(order: dict[str, Any]) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in enumerate((nothing, output, output)):
        os.dup2(target, number)
    os.environ.update(order["env"])
    sys.argv = order["argv"]
    code: Any = 1
    try:
        import_module("celery.__main__").main()
    except SystemExit as exc:
        code = exc.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()

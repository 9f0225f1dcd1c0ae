"""A pytest plugin for applications that use jobkit, and for jobkit itself: ``pytest_plugins = ["jobkit.testing"]``.

It gives a private Redis for the session, an empty database for each test, real Celery workers that can be killed, and
a way to await a condition instead of sleeping.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from jobkit.embedded import EmbeddedRedis

T = TypeVar("T")
Message = str | Callable[[], str]
WorkerFactory = Callable[..., "WorkerProcess"]


def eventually(condition: Callable[[], T], timeout: float = 10.0, message: Message = "not true in time") -> T:
    """Call `condition` until it returns something true, and return that.

    Raises AssertionError with `message`, a text or a function that makes one, and the last value after `timeout`
    seconds.  Exceptions of `condition` pass through.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() > deadline  # before it looks: who was held up meanwhile looks once more
        if value := condition():
            return value
        if late:
            text = message if isinstance(message, str) else message()
            raise AssertionError(f"{text} (waited {timeout:g} s, last seen: {value!r})")
        time.sleep(0.02)


class WorkerProcess:
    """A real ``celery worker`` in a process group of its own, which prints to a file."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None, output: Path) -> None:
        self._output = output
        with output.open("wb") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **env}, cwd=cwd, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """Process id of the main process."""
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the worker has printed so far."""
        return self._output.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        """Whether the main process runs."""
        return self._process.poll() is None

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Return once the worker takes messages; raises AssertionError with the end of its log when it does not."""
        try:
            eventually(lambda: " ready." in self.log or not self.alive, timeout, "the worker is not ready")
            if not self.alive:
                raise AssertionError(f"the worker ended with {self._process.returncode}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the end of its log:\n{self.log[-2000:]}") from None

    def kill(self) -> None:
        """End the main process with SIGKILL, as the system does when memory runs out; its children are left alone."""
        self._process.kill()
        self._process.wait()

    def stop(self, timeout: float = 30.0) -> int:
        """Ask the worker to finish what it does and end, with SIGTERM; return its exit code."""
        self._process.terminate()
        return self._process.wait(timeout)

    def clean_up(self) -> None:
        """End whatever is left of the process group; a test that fails shows what it said last."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        if "PYTEST_CURRENT_TEST" in os.environ:
            sys.stdout.write(f"the end of the log of worker {self.pid}:\n{self.log[-4000:]}\n")


@pytest.fixture(scope="session")
def jobkit_redis() -> Iterator[EmbeddedRedis]:
    """A private Redis that lives as long as the test session."""
    from jobkit.embedded import EmbeddedRedis

    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def jobkit_store_url(jobkit_redis: EmbeddedRedis) -> str:
    """The URL of an empty database, for this test alone."""
    return jobkit_redis.fresh_url()


@pytest.fixture
def worker_process(tmp_path: Path) -> Iterator[WorkerFactory]:
    """Start real workers: ``worker_process("myapp", pool="threads", queues=["mail"])``; they end with the test."""
    workers: list[WorkerProcess] = []

    def start(
        app: str,
        *,
        pool: str = "prefork",
        concurrency: int = 2,
        env: Mapping[str, str] | None = None,
        queues: Sequence[str] = (),
        loglevel: str = "INFO",
        arguments: Sequence[str] = (),
        cwd: Path | None = None,
        timeout: float = 30.0,
    ) -> WorkerProcess:
        """Start a worker of the app in module `app` and wait until it is ready; `loglevel` must be INFO or DEBUG."""
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            app,
            "worker",
            f"--pool={pool}",
            f"--concurrency={concurrency}",
        ]
        command += [f"--loglevel={loglevel}", f"--hostname=w{len(workers)}-{uuid4().hex[:8]}@%h", *arguments]
        if queues:
            command.append(f"--queues={','.join(queues)}")
        workers.append(WorkerProcess(command, env or {}, cwd, tmp_path / f"worker-{len(workers)}.log"))
        workers[-1].wait_ready(timeout)
        return workers[-1]

    yield start
    for worker in workers:
        worker.clean_up()

"""One side's processes, started afresh for each measurement: a private Redis, a worker, a client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from benchmarks.counters import Stamps
from jobkit.embedded import EmbeddedRedis

ROOT = Path(__file__).parent.parent
POOLS = {"prefork": ("-P", "prefork", "-c", "2"), "threads": ("-P", "threads", "-c", "8"), "solo": ("-P", "solo")}
DEADLINE = 300.0  #: seconds a client may take
PATIENCE = 30.0  #: seconds a worker may take to start, to run the next job, or to stop


class BenchmarkFailed(Exception):
    """A worker or a client ended, or did not come to an end in time; the message has the end of what it printed."""


@dataclass(frozen=True)
class Stage:
    """The private Redis of one measurement, and how to start the other processes on it."""

    redis: Redis
    stamps: Stamps
    folder: Path
    env: dict[str, str]

    def client(self, verb: str, jobs: int, task: str = "noop") -> dict[str, Any]:
        """Run `benchmarks.client` in a process of its own and return what it printed."""
        return self.run(sys.executable, "-m", "benchmarks.client", verb, task, str(jobs))

    def run(self, *command: str) -> dict[str, Any]:
        """Run a client to its end and return the JSON it printed; raises `BenchmarkFailed`."""
        name = " ".join(command[1:])
        try:
            done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=DEADLINE)
        except subprocess.TimeoutExpired as error:
            raise BenchmarkFailed(f"the client was not done in {DEADLINE:.0f} s: {name}") from error
        if done.returncode:
            raise BenchmarkFailed(f"the client failed: {name}\n{done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def worker(self, pool: str) -> AbstractContextManager[Worker]:
        """A Celery worker with the given pool (a name in `POOLS`)."""
        return self.start(
            sys.executable, "-m", "celery", "-A", "benchmarks.apps", "worker", "-l", "WARNING", *POOLS[pool]
        )

    @contextmanager
    def start(self, *command: str, kill: bool = False) -> Iterator[Worker]:
        """A worker, stopped at the end as by SIGTERM, or with `kill` killed."""
        log = self.folder / "worker.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdout=output, stderr=output, start_new_session=True
            )
        worker = Worker(process, log)
        try:
            yield worker
            if not kill:
                worker.stop()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@dataclass(frozen=True)
class Worker:
    """A running worker."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, stamps: Stamps, jobs: int) -> None:
        """Return once so many jobs have run; raises `BenchmarkFailed` when the worker ends or runs none for long."""
        seen, deadline = -1, 0.0
        while (count := stamps.count()) < jobs:
            if count > seen:
                seen, deadline = count, time.monotonic() + PATIENCE
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkFailed(f"the worker stopped at {count} of {jobs} jobs:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.002)

    def stop(self) -> None:
        """End it as a deployment would; raises `BenchmarkFailed` when it does not end."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise BenchmarkFailed(f"the worker did not stop:\n{self.log.read_text()[-2000:]}") from error


def flavour() -> str:
    """Name and version of the Redis the measurements run on; raises `EmbeddedServerError` when there is none."""
    with EmbeddedRedis() as server:
        return server.flavour


@contextmanager
def stage(side: str) -> Iterator[Stage]:
    """Everything one measurement of `side` (the first word says which) needs; nothing is left of it afterwards."""
    with tempfile.TemporaryDirectory(prefix="jobkit-bench-") as name, EmbeddedRedis() as server:
        stamps = Path(name, "stamps")
        # CELERY_BROKER_URL wins over what an application says: nobody's own broker is to be measured.
        env = {name: value for name, value in os.environ.items() if not name.startswith("CELERY_")}
        env |= {"PYTHONPATH": str(ROOT), "BENCH_SIDE": side, "BENCH_REDIS": server.url, "BENCH_STAMPS": str(stamps)}
        with Redis.from_url(server.url, decode_responses=True) as redis:
            with suppress(ResponseError):  # Redis 7 keeps a histogram per command, which is not the jobs' memory
                redis.config_set("latency-tracking", "no")
            yield Stage(redis, Stamps(stamps), Path(name), env)

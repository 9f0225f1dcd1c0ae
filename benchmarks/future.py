"""``python -m benchmarks.future``: what a job that starts later costs, by how many others wait for their time.

The submit, as wall time and as CPU time of Redis; how late a job begins after it is due; the memory of the worker.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psutil
from celery import Celery
from redis import Redis

from benchmarks.counters import used_memory
from jobkit import JobKit
from jobkit.embedded import EmbeddedRedis
from jobkit.ext.ids import uuid7
from jobkit.states import State
from jobkit.store import Plan
from jobkit.testing import eventually

ROOT = Path(__file__).parent.parent
#: Seconds from now for what waits and never comes; over how many seconds those that do come are spread.
FAR, SPREAD = 86_400.0, 5.0


def make(url: str) -> Celery:
    """The application on this Redis."""
    app = Celery("future", broker=url, backend=url, set_as_current=False)
    JobKit(app)

    @app.task(name="future.nothing", shared=False)
    def nothing() -> None:
        """Nothing."""

    return app


#: What the worker runs.
app = make(os.environ.get("FUTURE_REDIS", "redis://localhost:1/0"))


@dataclass(frozen=True)
class Figures:
    """With so many `held`.

    A submit's seconds and µs of Redis; seconds between due and begun, of each; bytes of the worker's processes, and of
    Redis for each that is held.
    """

    held: int
    submit: float
    redis: float
    late: Sequence[float]
    worker: int
    bytes_each: float

    def part(self, part: float) -> float:
        """Seconds after which this part of those that were due had begun."""
        return sorted(self.late)[math.ceil(part * len(self.late)) - 1]


def measure(sizes: Sequence[int], sample: int, due: int, seconds: float = SPREAD) -> Iterator[Figures]:
    """For each number of held jobs, rising: submit a `sample`, and have `due` others become due within some seconds."""
    with EmbeddedRedis() as server, tempfile.TemporaryDirectory() as folder:
        this: Any = make(server.url)
        kit: JobKit = this.jobkit
        with Redis.from_url(server.url) as redis, _worker(server.url, Path(folder)) as process:
            _submit(this, 100, FAR)
            _due(this, kit, 20, 0.5)  # everything was done once
            held, empty = 100, used_memory(redis)
            for size in sizes:
                more = max(0, size - held)
                _hold(kit, more)
                held += more
                each = (used_memory(redis) - empty) / (held - 100) if held > 100 else 0.0
                redis.config_resetstat()
                spent = _submit(this, sample, FAR)
                cpu = _cpu(redis) / sample
                held += sample
                yield Figures(size, spent, cpu, _due(this, kit, due, seconds), _resident(process), each)
        kit.close()


def _hold(kit: JobKit, count: int) -> None:
    """Jobs that wait, recorded as a client does it."""
    start, message = int((time.time() + FAR) * 1000), '{"name": "future.nothing", "body": "' + "x" * 600 + '"}'
    for _ in range(count):
        kit.store.create(
            Plan(uuid7(), "future.nothing", message, start=start, facts={"queue": "celery"}), "client@host"
        )


def _submit(this: Any, count: int, seconds: float) -> float:
    """Seconds of one submit, the median."""
    spent = []
    for _ in range(count):
        began = time.perf_counter()
        this.tasks["future.nothing"].apply_async(countdown=seconds)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def _cpu(redis: Any) -> float:
    """µs Redis spent in the scripts that record a submit; the keeper's own run every half second beside them."""
    return float(redis.info("commandstats")["cmdstat_evalsha"]["usec"])


def _due(this: Any, kit: JobKit, count: int, seconds: float) -> list[float]:
    """Have so many become due; how late each began."""
    first = datetime.now(timezone.utc) + timedelta(seconds=1)
    etas = [first + timedelta(seconds=seconds * n / count) for n in range(count)]
    handles = [this.tasks["future.nothing"].apply_async(eta=eta) for eta in etas]
    eventually(lambda: not kit.get(handles[-1].id).is_live, seconds + 60)
    eventually(lambda: not any(kit.get(handle.id).is_live for handle in handles), 60)
    late = []
    for eta, handle in zip(etas, handles, strict=True):
        begun = next(step.at for step in kit.history(handle.id) if step.target is State.RUNNING)
        late.append((begun - eta).total_seconds())
    return late


def _resident(process: psutil.Process) -> int:
    return sum(one.memory_info().rss for one in (process, *process.children()))


@contextmanager
def _worker(url: str, folder: Path) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.future", "worker", "-c", "2", "-l", "INFO"]
    log = folder / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "FUTURE_REDIS": url}, stdout=output, stderr=output
        )
    try:
        eventually(lambda: " ready." in log.read_text(errors="replace") or worker.poll() is not None, 60)
        yield psutil.Process(worker.pid)
    finally:
        worker.terminate()
        worker.wait(30)


def main() -> None:
    """Do it, and print the figures as they come."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.future", description=__doc__)
    parser.add_argument("--held", type=int, nargs="+", default=[0, 10_000, 100_000], help="default %(default)s")
    parser.add_argument("--sample", type=int, default=1_000, help="submits that are timed, default %(default)s")
    parser.add_argument("--due", type=int, default=100, help="jobs that become due, default %(default)s")
    options = parser.parse_args()
    print("   held   submit  of it Redis   due to begun: p50    p99    max   worker  Redis, each held")
    base = None
    for one in measure(sorted(options.held), options.sample, options.due):
        base = base or one
        print(
            f"{one.held:7,}  {1000 * one.submit:4.2f} ms  {one.redis:8.0f} µs"
            f"  {one.part(0.5):16.2f} s {one.part(0.99):4.2f} s {one.part(1):4.2f} s"
            f"  {one.worker / 2**20:4.0f} MB  {one.bytes_each:8,.0f} bytes"
            f"   submit x{one.submit / base.submit:.2f}, Redis x{one.redis / base.redis:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""What the process of a submitting client does: ``python -m benchmarks.client VERB TASK JOBS`` prints JSON.

It has a process of its own, so that no side sees what the other one has imported, pooled or patched.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from redis import Redis

from benchmarks import apps
from benchmarks.counters import BEGIN, END

WARM_UP = 20
TIMEOUT = 30.0


def submit(task: Any, jobs: int) -> dict[str, Any]:
    """Call ``delay()`` for all `jobs`; seconds of wall time and of CPU time per call, without the first few."""
    _each(task, WARM_UP)
    wall, cpu = time.perf_counter(), time.process_time()
    _each(task, jobs - WARM_UP)
    calls = jobs - WARM_UP
    return {"wall": (time.perf_counter() - wall) / calls, "cpu": (time.process_time() - cpu) / calls}


def bulk(task: Any, jobs: int) -> dict[str, Any]:
    """Submit all `jobs` as the side does it best: by ``submit_many``, or by a loop of ``delay()``."""
    _each(task, WARM_UP)
    wall, cpu = time.perf_counter(), time.process_time()
    if apps.jobs is None:
        _each(task, jobs)
    else:
        apps.jobs.submit_many(task.s() for _ in range(jobs))
    return {"wall": (time.perf_counter() - wall) / jobs, "cpu": (time.process_time() - cpu) / jobs}


def latency(task: Any, jobs: int) -> dict[str, Any]:
    """Wait for the result of one job after the other; the seconds of each from ``delay()`` to the end of ``get()``.

    Two marks in the server's command stream enclose the timed part.
    """
    redis = Redis.from_url(apps.URL)
    for _ in range(WARM_UP):
        _round_trip(task)
    redis.echo(BEGIN)
    seconds = [_round_trip(task) for _ in range(jobs)]
    redis.echo(END)
    return {"seconds": seconds}


def steps(task: Any, jobs: int) -> dict[str, Any]:
    """The same, with a mark in the server's command stream before each job and after the last one."""
    redis = Redis.from_url(apps.URL)
    for _ in range(WARM_UP):
        _round_trip(task)
    for _ in range(jobs):
        redis.echo(BEGIN)
        _round_trip(task)
    redis.echo(BEGIN)
    redis.echo(END)
    return {}


def _each(task: Any, jobs: int) -> None:
    for _ in range(jobs):
        task.delay()


def _round_trip(task: Any) -> float:
    start = time.perf_counter()
    task.delay().get(timeout=TIMEOUT)
    return time.perf_counter() - start


VERBS = {"submit": submit, "bulk": bulk, "latency": latency, "steps": steps}

if __name__ == "__main__":
    print(json.dumps(VERBS[sys.argv[1]](getattr(apps, sys.argv[2]), int(sys.argv[3]))))

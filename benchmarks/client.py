"""What the process of a submitting client does: ``python -m benchmarks.client submit|latency JOBS`` prints JSON.

It has a process of its own, so that no side sees what the other one has imported, pooled or patched.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from redis import Redis

from benchmarks.apps import URL, noop
from benchmarks.counters import BEGIN, END

WARM_UP = 20
TIMEOUT = 30.0


def submit(jobs: int) -> dict[str, Any]:
    """Call ``delay()`` for all `jobs`; seconds of wall time and of CPU time per call, without the first few."""
    for _ in range(WARM_UP):
        noop.delay()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(jobs - WARM_UP):
        noop.delay()
    calls = jobs - WARM_UP
    return {"wall": (time.perf_counter() - wall) / calls, "cpu": (time.process_time() - cpu) / calls}


def latency(jobs: int) -> dict[str, Any]:
    """Wait for the result of one job after the other; the seconds of each from ``delay()`` to the end of ``get()``.

    Two marks in the server's command stream enclose the timed part.
    """
    redis = Redis.from_url(URL)
    for _ in range(WARM_UP):
        _round_trip()
    redis.echo(BEGIN)
    seconds = [_round_trip() for _ in range(jobs)]
    redis.echo(END)
    return {"seconds": seconds}


def _round_trip() -> float:
    start = time.perf_counter()
    noop.delay().get(timeout=TIMEOUT)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps({"submit": submit, "latency": latency}[sys.argv[1]](int(sys.argv[2]))))

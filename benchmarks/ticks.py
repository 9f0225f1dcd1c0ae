"""``python -m benchmarks.ticks``: what beat costs, by how many definitions there are."""

from __future__ import annotations

import statistics
import sys
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from celery import Celery

from jobkit import JobKit
from jobkit.definitions import Definition
from jobkit.embedded import EmbeddedRedis
from jobkit.ext.beat import BeatOf
from jobkit.store import definitions, recipes
from jobkit.store.definitions import Change
from jobkit.store.recipes import ms

#: Definitions that stand by, those of them that are due, and idle looks that are timed.
COUNTS, DUE, LOOKS = (100, 1_000, 10_000), 500, 200


def main() -> None:
    """Print a line for each number of definitions."""
    print("definitions  idle look  commands sent  per due slot")
    for count in COUNTS:
        with EmbeddedRedis() as server:
            print("{:11,}  {:6.2f} ms  {:13.2f}  {:9.2f} ms".format(count, *_measure(server.url, count)))


def _measure(url: str, count: int) -> tuple[float, float, float]:
    app = Celery("ticks", broker=url, backend=url)

    @app.task(name="ticks.nothing", shared=False)
    def nothing() -> None:
        """Nothing."""

    jobs = JobKit(app)
    begin = recipes.now(jobs.store) + timedelta(hours=1)
    _define(jobs, count, begin)
    beat = BeatOf(jobs)
    beat.run_once()
    client: Any = jobs.store.client
    before, looks = _calls(client), []
    for _ in range(LOOKS):
        began = time.perf_counter()
        beat.run_once()
        looks.append(time.perf_counter() - began)
    calls = (_calls(client) - before) / LOOKS
    due = [f"d{n}" for n in range(min(DUE, count))]
    client.zadd(jobs.store.keys.key("ticks"), {name: ms(datetime.now(timezone.utc)) - 1 for name in due})
    began = time.perf_counter()
    while beat.run_once() == 0.0:
        pass
    per_slot = (time.perf_counter() - began) / len(due)
    jobs.close()
    return statistics.median(looks) * 1000, calls, per_slot * 1000


def _calls(client: Any) -> int:
    found = client.info("commandstats").get("cmdstat_evalsha", {})
    return int(found.get("calls", 0))


def _define(jobs: JobKit, count: int, begin: datetime) -> None:
    for first in range(0, count, 100):
        changes = [
            Change(Definition(f"d{n}", "ticks.nothing", schedules=(3600,)), ms(begin), ms(begin))  # type: ignore[arg-type]
            for n in range(first, min(first + 100, count))
        ]
        definitions.define(jobs.store, changes, "benchmark", f"op{first}")


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[func-returns-value]

"""huey.  It has no bulk submission."""

from __future__ import annotations

import os

from huey import RedisHuey

from benchmarks import tasks

huey = RedisHuey(url=os.environ["BENCH_REDIS"])
TASKS = {"noop": huey.task(name="noop")(tasks.noop), "work": huey.task(name="work")(tasks.work)}


def submit(task: str, jobs: int) -> None:
    """One by one."""
    for _ in range(jobs):
        TASKS[task]()

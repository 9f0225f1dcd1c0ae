"""SAQ."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from saq import Queue

from benchmarks import tasks

queue = Queue.from_url(os.environ["BENCH_REDIS"])
loop = asyncio.new_event_loop()
CHUNK = 100


async def noop(_: Any) -> None:
    """Nothing."""
    tasks.noop()


async def work(_: Any) -> None:
    """10 ms."""
    tasks.work()


settings = {"queue": queue, "functions": [noop, work], "concurrency": 50}


def submit(task: str, jobs: int) -> None:
    """One by one."""

    async def run() -> None:
        for _ in range(jobs):
            await queue.enqueue(task)

    loop.run_until_complete(run())


def bulk(task: str, jobs: int) -> None:
    """Many at the same time."""

    async def run() -> None:
        for start in range(0, jobs, CHUNK):
            await asyncio.gather(*(queue.enqueue(task) for _ in range(start, min(start + CHUNK, jobs))))

    loop.run_until_complete(run())

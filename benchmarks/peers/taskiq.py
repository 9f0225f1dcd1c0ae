"""taskiq."""

from __future__ import annotations

import asyncio
import os

from taskiq_redis import ListQueueBroker

from benchmarks import tasks

broker = ListQueueBroker(os.environ["BENCH_REDIS"])
loop = asyncio.new_event_loop()
CHUNK = 100


@broker.task
async def noop() -> None:
    """Nothing."""
    tasks.noop()


@broker.task
async def work() -> None:
    """10 ms."""
    tasks.work()


TASKS = {"noop": noop, "work": work}


def submit(task: str, jobs: int) -> None:
    """One by one."""

    async def run() -> None:
        for _ in range(jobs):
            await TASKS[task].kiq()

    loop.run_until_complete(run())


def bulk(task: str, jobs: int) -> None:
    """Many at the same time."""

    async def run() -> None:
        for start in range(0, jobs, CHUNK):
            await asyncio.gather(*(TASKS[task].kiq() for _ in range(start, min(start + CHUNK, jobs))))

    loop.run_until_complete(run())

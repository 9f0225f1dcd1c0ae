"""arq."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks import tasks

REDIS = RedisSettings.from_dsn(os.environ["BENCH_REDIS"])
QUIET = {"version": 1}
loop = asyncio.new_event_loop()
CHUNK = 100


async def noop(_: Any) -> None:
    """Nothing."""
    tasks.noop()


async def work(_: Any) -> None:
    """10 ms."""
    tasks.work()


class Workers:
    """What its command line reads."""

    functions = (noop, work)
    redis_settings = REDIS
    max_jobs = 100
    poll_delay = 0.01
    log_results = False


def submit(task: str, jobs: int) -> None:
    """One by one."""

    async def run() -> None:
        pool = await create_pool(REDIS)
        for _ in range(jobs):
            await pool.enqueue_job(task)

    loop.run_until_complete(run())


def bulk(task: str, jobs: int) -> None:
    """Many at the same time."""

    async def run() -> None:
        pool = await create_pool(REDIS)
        for start in range(0, jobs, CHUNK):
            await asyncio.gather(*(pool.enqueue_job(task) for _ in range(start, min(start + CHUNK, jobs))))

    loop.run_until_complete(run())

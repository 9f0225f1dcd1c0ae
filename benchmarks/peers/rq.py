"""RQ."""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue

from benchmarks import tasks

queue = Queue(connection=Redis.from_url(os.environ["BENCH_REDIS"]))
CHUNK = 500


def submit(task: str, jobs: int) -> None:
    """One by one."""
    for _ in range(jobs):
        queue.enqueue(getattr(tasks, task))


def bulk(task: str, jobs: int) -> None:
    """In pipelines."""
    for start in range(0, jobs, CHUNK):
        many = range(start, min(start + CHUNK, jobs))
        queue.enqueue_many([Queue.prepare_data(getattr(tasks, task)) for _ in many])

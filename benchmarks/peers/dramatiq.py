"""Dramatiq.  It has no bulk submission: a group sends its messages one by one."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks import tasks

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS"]))
TASKS = {function.__name__: dramatiq.actor(function) for function in (tasks.noop, tasks.work)}


def submit(task: str, jobs: int) -> None:
    """One by one."""
    for _ in range(jobs):
        TASKS[task].send()

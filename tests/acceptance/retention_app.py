"""The app of the 4,000 disks: quick jobs in bulk, slow ones that somebody polls, families."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

from celery import Celery

from jobkit import JobKit
from tests.brokers import beside

URL = os.environ.get("JOBKIT_TEST_URL", "redis://localhost:1/0")
app = Celery("retention", **beside(URL), set_as_current=False)
app.conf.update(jobkit_keeper_interval=0.2, worker_prefetch_multiplier=8)
jobs = JobKit(
    app,
    retention=float(os.environ.get("JOBKIT_TEST_RETENTION", "300")),
    retention_jobs=int(os.environ.get("JOBKIT_TEST_JOBS", "4096")),
    retention_least=float(os.environ.get("JOBKIT_TEST_LEAST", "30")),
)
task = partial(app.task, shared=False)


@task
def create_disk(number: int) -> int:
    """A disk of a bulk run."""
    return number


@task(bind=True)
def create_snapshot(self: Any, seconds: float) -> str:
    """A slow one."""
    time.sleep(seconds)
    return str(self.request.id)


@task
def total(numbers: list[int], seconds: float) -> int:
    """The body of a chord, and a slow one."""
    time.sleep(seconds)
    return sum(numbers)


@task
def add(a: int, b: int) -> int:
    """A link of a chain."""
    return a + b

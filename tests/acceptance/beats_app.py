# mypy: disable-error-code="untyped-decorator"
"""Tasks of definitions for the tests with real beats and workers; what they do goes to lists in Redis."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from celery import Celery
from redis import Redis

from jobkit import JobKit
from tests.brokers import beside

URL = os.environ["BEATS_REDIS"]
app = Celery("beats", **beside(URL))
app.conf.update(worker_prefetch_multiplier=1, broker_transport_options={"visibility_timeout": 3600})
jobs = JobKit(
    app, lease=2.0, renew=0.5, keeper_interval=0.2, retention=3600, retention_jobs=1_000_000,
    beat_in_worker="BEATS_IN_WORKER" in os.environ,
)  # fmt: skip
book = Redis.from_url(URL, socket_timeout=None)
task = partial(app.task, shared=False)


@task(bind=True, acks_late=True)
def fire(self: Any) -> None:
    """Say that this slot has run."""
    book.rpush("fired", f"{self.job.id} {self.job.run}")


@task(bind=True, acks_late=True)
def hold(self: Any, n: int = 0) -> int:
    """Say what it was given, and run until somebody lets it go."""
    book.rpush("held", f"{self.job.run} {n}")
    book.blpop([f"go:{n}"], timeout=30)
    return n

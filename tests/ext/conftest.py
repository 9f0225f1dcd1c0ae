"""An app in this process, on a private Redis, without a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from jobkit import JobKit
from tests.brokers import beside


@pytest.fixture
def app(jobkit_store_url: str) -> Celery:
    """A small Celery app."""
    app = Celery("small", **beside(jobkit_store_url))

    @app.task(name="small.add", shared=False)
    def add(a: int, b: int) -> int:
        return a + b

    return app


@pytest.fixture
def jobs(app: Celery) -> Iterator[JobKit]:
    """The same app as a jobkit app."""
    jobs = JobKit(app)
    yield jobs
    jobs.close()


@pytest.fixture
def add(app: Celery, jobs: JobKit) -> object:
    """One of its tasks."""
    return app.tasks["small.add"]

"""Tasks for the tests with real workers; what they do outside of Redis goes to the file named in the environment."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

from celery import Celery

from jobkit import Ending, JobKit

URL = os.environ.get("JOBKIT_TEST_URL", "redis://localhost:1/0")
app = Celery("lifecycle", broker=URL, backend=URL)
app.conf.update(worker_prefetch_multiplier=1, jobkit_lease=2.0, jobkit_renew=0.5, jobkit_keeper_interval=0.2)
jobs = JobKit(app)


#: Of this app alone: the module is imported anew for each test.
task = partial(app.task, shared=False)


def note(*words: object) -> None:
    """One line outside of Redis: what really happened."""
    with open(os.environ["JOBKIT_TEST_NOTES"], "a") as notes:
        notes.write(" ".join(map(str, words)) + "\n")


def told(self: Any, job: Any, ending: Ending) -> None:
    """The hook of the tasks below."""
    note("hook", job.id, job.run, ending.state, ending.outcome)


@task(bind=True, on_finished=told)
def add(self: Any, a: int, b: int) -> int:
    note("body", self.job.id, self.job.run)
    return a + b


@task(bind=True, on_finished=told)
def boom(self: Any) -> None:
    raise KeyError("boom")


@task(bind=True)
def partly(self: Any) -> Any:
    job = self.job
    job.progress(1, 4, "one of four")
    job.log("looking", level="WARNING")
    job.checkpoint = {"at": 1}
    return job.partially_succeeded("3 skipped", result=[1])


@task(bind=True, max_retries=5)
def goes_on(self: Any) -> Any:
    seen = self.job.checkpoint or []
    self.job.checkpoint = [*seen, self.job.run]
    if self.job.run < 3:
        raise self.retry(countdown=0)
    return self.job.checkpoint


@task(bind=True, acks_late=True)
def may_run_twice(self: Any, seconds: float) -> int:
    note("body", self.job.id, self.job.run)
    time.sleep(seconds if self.job.run == 1 else 0)
    return self.job.run


@task(bind=True)
def at_most_once(self: Any, seconds: float) -> int:
    note("body", self.job.id, self.job.run)
    time.sleep(seconds)
    return self.job.run


@task(bind=True, acks_late=True)
def poison(self: Any) -> None:
    note("body", self.job.id, self.job.run)
    os.kill(os.getppid(), 9)
    time.sleep(60)

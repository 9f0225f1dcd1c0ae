# mypy: disable-error-code="untyped-decorator"
"""A jobkit app whose broker, result backend and store are where the test wants them."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject
from redis import Redis

from jobkit import JobKit
from tests.brokers import beside

STORE = os.environ["JOBS_STORE"]

app = Celery("jobs", **{**beside(STORE), "backend": os.environ.get("JOBS_RESULTS", STORE)})
app.conf.jobkit_celery_results = "JOBS_CELERY_RESULTS" in os.environ
jobs = JobKit(app, backend=STORE, keeper_interval=0.1)

book = Redis.from_url(STORE, socket_timeout=None)


def note(task_id: str, event: str) -> int:
    """Write down that this happened to a task; returns how much is written by now."""
    return int(book.rpush(f"notes:{task_id}", event))


@app.task(bind=True)
def add(self: Any, x: Any, y: Any) -> Any:
    note(self.request.id, "added")
    return x + y


@app.task
def fail(message: str) -> None:
    raise KeyError(message)


@app.task(bind=True, max_retries=2)
def flaky(self: Any, failures: int, countdown: float = 0) -> str:
    note(self.request.id, f"try {self.request.retries}")
    if self.request.retries < failures:
        raise self.retry(countdown=countdown, exc=ConnectionError(f"try {self.request.retries}"))
    return f"done after {self.request.retries}"


class LongTail(Task):
    """A task whose run goes on for a while after its end is recorded."""

    abstract = True

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        book.blpop([f"go:{task_id}"], timeout=10)


@app.task(base=LongTail, bind=True, max_retries=1)
def overlaps(self: Any) -> str:
    if not self.request.retries:
        raise self.retry(countdown=0)
    book.rpush(f"go:{self.request.id}", "the next run has begun")
    over = time.monotonic() + 0.5
    while time.monotonic() < over and self.job.run == 2:
        time.sleep(0.01)  # while the first one comes to its end
    return self.job.partially_succeeded(f"run {self.job.run}", result="half of it")


@app.task(bind=True, ignore_result=True)
def whisper(self: Any, fails: bool = False) -> str:
    note(self.request.id, "whispered")
    if fails:
        raise ValueError("nobody will know")
    return "unheard"


@app.task(bind=True)
def wait_for(self: Any, key: str) -> str:
    note(self.request.id, "begun")
    book.blpop([f"go:{key}"], timeout=10)
    return "went on"


@app.task(bind=True)
def dies(self: Any) -> None:
    note(self.request.id, "dying")
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def dies_once(self: Any) -> str:
    if note(self.request.id, "run") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
    return "second life"


@app.task(bind=True, acks_late=True)
def requeues(self: Any) -> str:
    if note(self.request.id, f"delivered again: {self.request.delivery_info['redelivered']}") == 1:
        raise Reject("later", requeue=True)
    return "now"

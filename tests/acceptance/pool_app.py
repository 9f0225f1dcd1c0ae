"""Two tasks whose processes die one right after the other: the second while the worker still sees to the first."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil
from celery import Celery, signals
from redis import Redis

from jobkit import JobKit
from jobkit.testing import eventually

STORE = os.environ.get("JOBS_STORE", "redis://localhost:1/0")
app = Celery("pool", broker=STORE)
jobs = JobKit(app)
notes: Any = Redis.from_url(STORE, decode_responses=True)


def noted(key: str) -> list[str]:
    """What was noted, in order."""
    found: list[str] = notes.lrange(f"notes:{key}", 0, -1)
    return found


@app.task
def dies_first() -> None:
    """Holds the other process of its pool, and dies as soon as that has something to do."""
    (other,) = (process for process in psutil.Process(os.getppid()).children() if process.pid != os.getpid())
    other.suspend()
    notes.rpush("notes:held", other.pid)
    notes.blpop(["go"], 30)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(bind=True)
def dies_second(self: Any) -> None:
    """Is killed in its body."""
    notes.rpush("notes:second", self.job.run)
    signal.pause()


@signals.task_failure.connect(sender=dies_first)
def while_the_worker_sees_to_the_first(**_: Any) -> None:
    """The other process goes on, says that it has begun, and is killed before anybody listens."""
    other = psutil.Process(int(noted("held")[0]))
    other.resume()
    eventually(lambda: noted("second"))
    other.kill()
    eventually(lambda: other.status() == psutil.STATUS_ZOMBIE)

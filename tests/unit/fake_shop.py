"""A Celery app whose `jobkit` is a handful of fixed jobs: what the command line shows of them needs no Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from celery import Celery

from jobkit import (
    Failure,
    IllegalTransition,
    Job,
    JobExpired,
    JobUnknown,
    LogLine,
    Outcome,
    Page,
    Progress,
    Reason,
    Run,
    State,
    StoreUnavailable,
    Transition,
)

BORN = datetime(2026, 11, 22, 8, 0, 0, tzinfo=timezone.utc)
RUNNING, BROKEN, WAITING, AFTER, DONE = (f"{n}a2f9c1b-0a4e-7a0e-9a7e-00000000{n}{n}{n}{n}" for n in "12345")
GONE, DOWN = "gone-job", "down-job"


def at(seconds: float) -> datetime:
    return BORN + timedelta(seconds=seconds)


def job(job_id: str, state: State, task: str = "shop.import", **more: Any) -> Job:
    return Job(job_id, task, state, more.pop("run", 1), BORN, at(1), queue="celery", **more)


FAILURE = Failure(
    "ConnectionError", "db1 is\x1b[31m down", "Traceback (most recent call last):\n  g()\nConnectionError"
)
JOBS = [
    job(RUNNING, State.RUNNING, started_at=at(1), worker="w1@host", pid=7, progress=Progress(1032, 1690)),
    job(BROKEN, State.ERROR, run=2, ended_at=at(9), outcome=Outcome.FAILED, failure=FAILURE, retries=1, owner="bob"),
    job(WAITING, State.WAITING_FOR_START, "shop.nightly", start_at=datetime.now(timezone.utc) + timedelta(hours=3)),
    job(AFTER, State.WAITING_FOR_PREDECESSOR, "shop.nightly", after_id=RUNNING, tags=("night", "eu")),
    job(
        DONE, State.FINISHED, "shop.resize", ended_at=at(5), outcome=Outcome.SUCCEEDED, message="ok", result={"rows": 3}
    ),
]


def step(seq: int, run: int, source: State | None, target: State, reason: str = "") -> Transition:
    return Transition(seq, run, source, target, at(seq), "w1@host", reason)


PATH = (
    step(1, 1, None, State.QUEUED),
    step(2, 1, State.QUEUED, State.RUNNING),
    step(3, 1, State.RUNNING, State.ERROR, "ConnectionError: db1\tis\x1b[31m down"),
    step(4, 1, State.ERROR, State.ERROR_RETRY),
    step(5, 2, None, State.QUEUED),
    step(6, 2, State.QUEUED, State.RUNNING),
    step(7, 2, State.RUNNING, State.ERROR),
)
WELL = (*PATH[5:6], replace(PATH[6], target=State.FINISHED))


class FakeJobs:
    """As much of `JobKit` as the commands use."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def get(self, job_id: str) -> Job:
        if job_id == GONE:
            raise JobExpired(job_id=job_id, story="it ended FINISHED at 2026-11-22 08:00:00 UTC; its time was over")
        if job_id == DOWN:
            raise StoreUnavailable(url="redis://127.0.0.1:1/0", reason="Connection refused")
        for found in JOBS:
            if found.id == job_id:
                return found
        raise JobUnknown(job_id=job_id, namespace="jobkit")

    def query(self, limit: int, cursor: str | None = None, **filters: Any) -> Page:
        self.asked.append(("query", limit, filters))
        found = [job for job in JOBS if not filters.get("state") or job.state in filters["state"]]
        place = int(cursor or 0)
        # pages of two, as the real thing may give fewer than asked for
        size = min(limit, 2)
        return Page(tuple(found[place : place + size]), str(place + size) if place + size < len(found) else None)

    def counts(self) -> dict[State, int]:
        return {state: sum(job.state is state for job in JOBS) for state in State}

    def runs(self, job_id: str) -> tuple[Run, ...]:
        return Run(1, PATH[:4]), Run(2, PATH[4:])

    def log(self, job_id: str) -> tuple[LogLine, ...]:
        return (LogLine(at(2), "ERROR", "no \x1b[2Jhost", 1),) if job_id == BROKEN else ()

    def reason(self, job_id: str, lines: int = 10) -> Reason:
        found = self.get(job_id)
        return Reason(job_id, found.task, found.state, found.message, found.failure, self.log(job_id))

    def watch(self, job_id: str | None = None, *, timeout: float | None = None) -> Iterator[tuple[str, Transition]]:
        for transition in WELL if job_id == DONE else PATH:
            yield job_id or BROKEN, transition
        if timeout is not None and job_id != BROKEN:
            raise TimeoutError
        if job_id == RUNNING:
            raise KeyboardInterrupt

    def abort(self, job_id: str, reason: str = "", grace: float | None = None) -> State:
        return self._move("abort", job_id, reason, grace)

    def pause(self, job_id: str, reason: str = "") -> State:
        return self._move("pause", job_id, reason)

    def suspend(self, job_id: str) -> State:
        return self._move("suspend", job_id)

    def resume(self, job_id: str) -> State:
        return self._move("resume", job_id)

    def change_start_time(self, job_id: str, when: Any) -> State:
        return self._move("change_start_time", job_id, when)

    def _move(self, verb: str, job_id: str, *more: Any) -> State:
        found = self.get(job_id)
        if not found.is_live:
            raise IllegalTransition(job=job_id, source=found.state.value, target=verb)
        self.asked.append((verb, job_id, *more))
        return found.state


app = Celery("shop", broker="memory://", set_as_current=False)
jobs: Any = FakeJobs()
app.jobkit = jobs
plain = Celery("plain", broker="memory://", set_as_current=False)

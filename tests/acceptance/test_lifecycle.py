"""One job from delay() to its history, through real workers."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery.exceptions import TaskRevokedError

from jobkit import IllegalTransition, Outcome, State
from jobkit.testing import WorkerProcess, eventually
from tests.brokers import kind, put

Start = Callable[..., WorkerProcess]
S = State


def states(lifecycle: ModuleType, job_id: str) -> list[State]:
    return [step.target for step in lifecycle.jobs.history(job_id)]


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent"])
def test_results_progress_logs_and_checkpoints_arrive(pool: str, lifecycle: ModuleType, start_worker: Start) -> None:
    worker = start_worker(pool=pool)
    handle = lifecycle.add.delay(1, 2)
    assert handle.get(timeout=10) == 3
    assert states(lifecycle, handle.id) == [S.QUEUED, S.RUNNING, S.FINISHED]
    assert handle.job.worker in worker.log

    partly = lifecycle.partly.delay()
    assert partly.get(timeout=10) == [1]
    job = partly.job
    assert (job.outcome, job.message, job.result, job.has_checkpoint) == (
        Outcome.PARTIALLY_SUCCEEDED,
        "3 skipped",
        [1],
        True,
    )
    assert job.progress is not None
    assert (job.progress.fraction, job.progress.message) == (0.25, "one of four")
    assert [(line.level, line.message) for line in lifecycle.jobs.log(partly.id)] == [("WARNING", "looking")]

    assert lifecycle.goes_on.delay().get(timeout=10) == [1, 2, 3]


def test_a_failure_is_readable_as_text(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    handle = lifecycle.boom.delay()
    with pytest.raises(KeyError, match="boom"):
        handle.get(timeout=10)
    failure = handle.job.failure
    assert failure is not None
    assert (failure.type, failure.message) == ("KeyError", "'boom'")
    assert "raise KeyError" in failure.traceback


def test_on_finished_is_called_once_after_each_end(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    start_worker()
    good, bad = lifecycle.add.delay(1, 2), lifecycle.boom.delay()
    gone = lifecycle.jobs.submit(lifecycle.add.s(3, 4), start_at=3600)
    assert lifecycle.jobs.abort(gone.id, "not needed") is S.REMOVING
    expected = {
        f"hook {good.id} 1 FINISHED SUCCEEDED",
        f"hook {bad.id} 1 ERROR FAILED",
        f"hook {gone.id} 1 REMOVED REMOVED",
    }
    eventually(lambda: expected <= set(notes.read_text().splitlines()), message=lambda: notes.read_text())
    assert len([line for line in notes.read_text().splitlines() if line.startswith("hook")]) == 3


def test_an_aborted_job_is_removed_through_the_queue_and_never_runs(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    handle = lifecycle.add.delay(1, 2)
    assert handle.abort("wrong file") is S.REMOVING
    start_worker()
    with pytest.raises(TaskRevokedError, match="aborted before it started"):
        handle.get(timeout=10)
    assert states(lifecycle, handle.id) == [S.QUEUED, S.REMOVING, S.REMOVED]
    assert [step.reason for step in handle.history()][1] == "wrong file"
    assert "body" not in notes.read_text()
    with pytest.raises(IllegalTransition, match=f"{handle.id} cannot go from REMOVED"):
        handle.abort()


def test_waiting_jobs_start_when_they_may(lifecycle: ModuleType, start_worker: Start) -> None:
    jobs, add = lifecycle.jobs, lifecycle.add
    asleep = jobs.submit(add.s(1, 1), suspended=True)
    behind = jobs.submit(add.s(2, 2), after=asleep)
    later = jobs.submit(add.s(3, 3), start_at=3600)
    assert [h.job.state for h in (asleep, behind, later)] == [
        S.SUSPENDED,
        S.WAITING_FOR_PREDECESSOR,
        S.WAITING_FOR_START,
    ]
    start_worker()
    assert jobs.suspend(later.id) is S.SUSPENDED
    assert jobs.change_start_time(later.id, 0.3) is S.WAITING_FOR_START
    assert later.get(timeout=10) == 6
    assert jobs.resume(asleep.id) is S.QUEUED
    assert behind.get(timeout=10) == 4
    assert states(lifecycle, behind.id) == [S.WAITING_FOR_PREDECESSOR, S.QUEUED, S.RUNNING, S.FINISHED]


def envelope(body: bytes, **headers: object) -> dict[str, Any]:
    properties = {
        "delivery_info": {"exchange": "", "routing_key": "celery"},
        "delivery_tag": "t",
        "body_encoding": "base64",
    }
    return {
        "body": b64encode(body).decode(),
        "headers": headers,
        "properties": properties,
        "content-type": "application/json",
        "content-encoding": "utf-8",
    }


def test_messages_that_are_none_harm_nobody(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    forged = {"task": lifecycle.add.name, "id": "x", "lang": "py", "job_run": 1, "argsrepr": "", "kwargsrepr": ""}
    broken = [{"body": "?", "headers": {}}] if kind() != "rabbitmq" else []
    put(
        lifecycle.app,
        "celery",
        *broken,
        envelope(b"{not json", **{**forged, "id": "y"}),
        envelope(b"[[1, 2], {}, {}]", **forged),
        envelope(b"[[1, 2], {}, {}]", **{**forged, "id": "z", "task": "nobody.knows"}),
        envelope(b'{"what": 1}'),
    )
    worker = start_worker()
    assert lifecycle.add.delay(1, 2).get(timeout=10) == 3
    assert worker.alive
    # A message that claims to be of a recorded job is believed only if there is such a job.
    eventually(lambda: "add[x] dropped: there is no record of it" in worker.log)
    assert "body x" not in notes.read_text()


def test_the_same_for_asyncio(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    jobs = lifecycle.jobs

    async def story() -> list[State]:
        handle = await jobs.asubmit(lifecycle.add.s(1, 2), owner="alice")
        seen = [step.target async for _, step in jobs.awatch(handle.id, timeout=20)]
        job = await jobs.aget(handle.id)
        assert (job.state, job.result) == (S.FINISHED, 3)
        assert (await jobs.aquery(owner="alice")).jobs[0].id == handle.id
        assert (await jobs.acounts())[S.FINISHED] == 1
        assert len(await jobs.ahistory(handle.id)) == 3
        return seen

    assert asyncio.run(story()) == [S.QUEUED, S.RUNNING, S.FINISHED]

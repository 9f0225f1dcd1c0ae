"""An app that keeps another result backend: its results are there as before, and its jobs are recorded all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import chain, group
from celery.exceptions import NotRegistered, TaskRevokedError

from jobkit import Outcome, State
from jobkit.embedded import EmbeddedRedis
from jobkit.ext.backend import Recording
from jobkit.testing import eventually
from tests.acceptance.apps import Stage, open_stage

RESTARTED = "QUEUED RUNNING ABORTED ABORTED_RESTART QUEUED RUNNING FINISHED"


@pytest.fixture(scope="module", params=["database", "rpc"])
def stage(
    request: pytest.FixtureRequest, jobkit_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A worker and a client with this result backend, and records in Redis."""
    folder = tmp_path_factory.mktemp("stage")
    results = {"database": f"db+sqlite:///{folder}/results.sqlite", "rpc": "rpc://"}[request.param]
    with open_stage(folder, jobkit_redis.fresh_url(), JOBS_RESULTS=results) as opened:
        assert not isinstance(opened.app.backend, Recording)
        yield opened
        assert not list(opened.redis.scan_iter("celery-task-meta-*"))


def test_success(stage: Stage) -> None:
    result = stage.m.add.delay(1, 2)
    assert result.get(timeout=10) == 3
    assert result.state == "SUCCESS"
    job = stage.ended(result.id)
    assert (job.state, job.outcome, job.run) == (State.FINISHED, Outcome.SUCCEEDED, 1)
    assert stage.path(result.id) == "QUEUED RUNNING FINISHED"


def test_failure(stage: Stage) -> None:
    result = stage.m.fail.delay("why")
    with pytest.raises(KeyError, match="why"):
        result.get(timeout=10)
    job = stage.ended(result.id)
    assert (job.state, job.outcome) == (State.ERROR, Outcome.FAILED)
    assert job.failure is not None
    assert (job.failure.type, job.failure.message) == ("KeyError", "'why'")
    assert "raise KeyError(message)" in job.failure.traceback


def test_retries(stage: Stage) -> None:
    result = stage.m.flaky.delay(2, 0.1)
    assert result.get(timeout=10) == "done after 2"
    stage.ended(result.id)
    path = stage.path(result.id).replace("WAITING_FOR_START ", "")  # a slow machine may have nothing to wait for
    assert path == "QUEUED RUNNING ERROR ERROR_RETRY " * 2 + "QUEUED RUNNING FINISHED"
    lost = stage.m.flaky.delay(9)
    with pytest.raises(ConnectionError, match="try 2"):
        lost.get(timeout=10)
    assert stage.ended(lost.id).state is State.ERROR
    assert stage.notes(lost.id) == ["try 0", "try 1", "try 2"]


def test_ignored_results(stage: Stage) -> None:
    good, bad = stage.m.whisper.delay(), stage.m.whisper.delay(True)
    assert (good.get(), bad.get()) == (None, None)
    assert stage.ended(good.id).state is State.FINISHED
    assert stage.ended(bad.id).state is State.ERROR


def test_canvas(stage: Stage) -> None:
    add = stage.m.add
    chained = chain(add.s(1, 1), add.s(2), add.s(3))()
    assert chained.get(timeout=10) == 7
    grouped = group(add.s(n, n) for n in range(3))()
    assert grouped.get(timeout=10) == [0, 2, 4]
    for result in (chained, chained.parent, *grouped):
        assert stage.ended(result.id).state is State.FINISHED


def test_revoked_before_the_start(stage: Stage) -> None:
    result = stage.m.add.apply_async((1, 2), countdown=1.5)
    result.revoke()
    with pytest.raises(TaskRevokedError):
        result.get(timeout=10)
    job = stage.ended(result.id)
    assert (job.state, job.outcome) == (State.REMOVED, Outcome.REMOVED)
    late = stage.m.add.apply_async((1, 2), countdown=0.2, expires=0.1)
    with pytest.raises(TaskRevokedError):
        late.get(timeout=10)
    assert stage.ended(late.id).state is State.REMOVED
    assert stage.notes(result.id) == stage.notes(late.id) == []


def test_terminated_while_it_runs(stage: Stage) -> None:
    result = stage.m.wait_for.delay("for ever")
    eventually(lambda: stage.notes(result.id))
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=10)
    job = stage.ended(result.id)
    assert (job.state, job.outcome) == (State.KILLED, Outcome.KILLED)


def test_a_child_that_dies(stage: Stage) -> None:
    result, limited = stage.m.dies.delay(), stage.m.wait_for.apply_async(("too long",), time_limit=0.5)
    once = stage.m.dies_once.delay()
    with pytest.raises(WorkerLostError):
        result.get(timeout=20)
    job = stage.ended(result.id)
    assert (job.state, job.outcome) == (State.ABORTED, Outcome.FAILED)
    assert job.failure is not None
    assert job.failure.type == "WorkerLostError"
    with pytest.raises(TimeLimitExceeded):
        limited.get(timeout=10)
    assert stage.ended(limited.id).state is State.KILLED
    assert once.get(timeout=20) == "second life"
    stage.ended(once.id)
    assert stage.path(once.id) == RESTARTED
    assert stage.notes(once.id) == ["run", "run"]


def test_given_back_and_unknown(stage: Stage) -> None:
    result = stage.m.requeues.delay()
    assert result.get(timeout=10) == "now"
    stage.ended(result.id)
    assert stage.path(result.id) == RESTARTED
    unknown = stage.app.send_task("nowhere")
    with pytest.raises(NotRegistered):
        unknown.get(timeout=10)
    assert stage.ended(unknown.id).state is State.ERROR

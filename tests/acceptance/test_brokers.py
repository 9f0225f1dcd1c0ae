"""Other brokers, with Redis as the store: Redis without jobkit's transport, and RabbitMQ.

`make test-brokers` has all suites run on each; these are the tests that tell most.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError

from jobkit import Outcome, State
from jobkit.embedded import EmbeddedRedis
from jobkit.testing import eventually
from tests import brokers
from tests.acceptance.apps import Stage, open_stage
from tests.acceptance.test_family import test_a_failed_child_may_abort_the_others  # noqa: F401
from tests.acceptance.test_lifecycle import test_waiting_jobs_start_when_they_may  # noqa: F401
from tests.acceptance.test_stopping import test_a_body_may_just_return_or_be_called  # noqa: F401
from tests.acceptance.test_vanished_workers import test_a_job_that_may_run_twice_runs_again_elsewhere  # noqa: F401


@pytest.fixture(scope="module", params=["kombu", "rabbitmq"], autouse=True)
def broker(request: pytest.FixtureRequest) -> Iterator[str]:
    with brokers.chosen(request, request.param):
        yield request.param


@pytest.fixture(scope="module")
def stage(broker: str, jobkit_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A worker and a client on that broker."""
    url = jobkit_redis.fresh_url()
    with open_stage(tmp_path_factory.mktemp("stage"), url, "--prefetch-multiplier=1") as opened:
        yield opened
        assert broker != "rabbitmq" or not opened.redis.exists("celery"), "a message went through Redis"


def test_delay(stage: Stage) -> None:
    result = stage.m.add.delay(1, 2)
    assert result.get(timeout=10) == 3
    assert stage.path(result.id) == "QUEUED RUNNING FINISHED"


def test_countdown(stage: Stage) -> None:
    due = datetime.now(timezone.utc) + timedelta(seconds=0.4)
    result = stage.m.add.apply_async((1, 2), eta=due)
    assert result.get(timeout=10) == 3
    job = stage.jobs.get(result.id)
    assert job.started_at is not None
    assert job.started_at >= due.replace(microsecond=due.microsecond // 1000 * 1000)
    assert stage.path(result.id) == "WAITING_FOR_START QUEUED RUNNING FINISHED"


def test_retries(stage: Stage) -> None:
    result = stage.m.flaky.delay(2)
    assert result.get(timeout=10) == "done after 2"
    assert stage.path(result.id) == "QUEUED RUNNING ERROR ERROR_RETRY " * 2 + "QUEUED RUNNING FINISHED"
    later = stage.m.flaky.delay(1, 0.2)
    assert later.get(timeout=10) == "done after 1"
    assert "ERROR_RETRY WAITING_FOR_START QUEUED" in stage.path(later.id)


def test_canvas(stage: Stage) -> None:
    add = stage.m.add
    chained = chain(add.s(1, 1), add.s(2), add.s(3))()
    assert chained.get(timeout=10) == 7
    assert group(add.s(n, n) for n in range(3))().get(timeout=10) == [0, 2, 4]
    assert chord([add.s(1, 1), stage.m.flaky.s(1)])(add.s(["and"])).get(timeout=10) == [2, "done after 1", "and"]
    for result in (chained, chained.parent, chained.parent.parent):
        assert stage.path(result.id) == "QUEUED RUNNING FINISHED"


def test_failure(stage: Stage) -> None:
    result = stage.m.fail.delay("why")
    with pytest.raises(KeyError, match="why"):
        result.get(timeout=10)
    assert stage.path(result.id) == "QUEUED RUNNING ERROR"


def test_given_back_to_the_queue(stage: Stage) -> None:
    result, lost = stage.m.requeues.delay(), stage.m.dies_once.delay()
    assert (result.get(timeout=20), lost.get(timeout=20)) == ("now", "second life")
    for again in (result, lost):
        assert stage.path(again.id) == "QUEUED RUNNING ABORTED ABORTED_RESTART QUEUED RUNNING FINISHED"


def test_what_expires_in_the_queue_is_told_so(stage: Stage) -> None:
    busy = [stage.m.wait_for.delay("slots") for _ in range(4)]  # two run, two are reserved: the rest stays in the queue
    eventually(lambda: sum(len(stage.notes(task.id)) for task in busy) == 2)
    due = datetime.now(timezone.utc) + timedelta(seconds=0.2)
    late, other = stage.m.add.apply_async((1, 2), expires=due), stage.m.add.apply_async((1, 2), expires=60)
    eventually(lambda: datetime.now(timezone.utc) > due + timedelta(seconds=0.2))
    for _ in busy:
        stage.go("slots")
    assert other.get(timeout=10) == 3
    with pytest.raises(TaskRevokedError, match="expired"):
        late.get(timeout=5)
    assert stage.ended(late.id).outcome is Outcome.REMOVED
    assert [task.get(timeout=10) for task in busy] == ["went on"] * 4


def test_revoked(stage: Stage) -> None:
    result = stage.m.add.apply_async((1, 2), countdown=60)
    result.revoke()
    with pytest.raises(TaskRevokedError):
        result.get(timeout=10)
    assert stage.ended(result.id).state is State.REMOVED
    assert stage.notes(result.id) == []


def test_priority_and_queue(stage: Stage) -> None:
    result = stage.m.add.apply_async((1, 2), queue="celery", priority=5)
    assert result.get(timeout=10) == 3
    assert stage.jobs.get(result.id).queue == "celery"

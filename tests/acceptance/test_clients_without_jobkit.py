"""Clients that do not have jobkit send to workers that do."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import NotRegistered, TaskRevokedError
from kombu.exceptions import ContentDisallowed

from jobkit import JobUnknown, Outcome
from jobkit.embedded import EmbeddedRedis
from jobkit.testing import eventually
from tests.acceptance.apps import JOBS_APP, Stage, close, open_stage
from tests.brokers import beside, put, waiting


@pytest.fixture(scope="module")
def stage(jobkit_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A worker with jobkit that also writes what plain clients read."""
    with open_stage(tmp_path_factory.mktemp("stage"), jobkit_redis.fresh_url(), JOBS_CELERY_RESULTS="yes") as opened:
        yield opened


@pytest.fixture(scope="module")
def client(stage: Stage) -> Iterator[Any]:
    """A client without jobkit, which knows the tasks by their names."""
    app = Celery("client", **beside(stage.store), set_as_current=False)
    app.jobs = lambda name, *args: app.signature(f"{JOBS_APP}.{name}", args)
    yield app
    close(app)


def test_it_is_recorded_when_a_worker_first_sees_it(client: Any, stage: Stage) -> None:
    result = client.jobs("add", 1, 2).delay()
    assert result.get(timeout=10) == 3
    assert (result.state, result.successful(), result.children) == ("SUCCESS", True, [])
    job = stage.jobs.get(result.id)
    assert (job.task, job.args, job.result, job.outcome) == (f"{JOBS_APP}.add", "(1, 2)", 3, Outcome.SUCCEEDED)
    assert stage.path(result.id) == "QUEUED RUNNING FINISHED"
    assert (stage.jobs.history(result.id)[0].by, stage.jobs.history(result.id)[0].reason) == (
        "client",
        "sent without jobkit",
    )

    unseen = client.jobs("add", 1, 2).set(queue="nobody listens").delay()
    with pytest.raises(JobUnknown):
        stage.jobs.get(unseen.id)


def test_its_failure_is_told(client: Any, stage: Stage) -> None:
    result = client.jobs("fail", "why").delay()
    with pytest.raises(KeyError, match="why"):
        result.get(timeout=10)
    assert "KeyError: 'why'" in result.traceback
    assert stage.path(result.id) == "QUEUED RUNNING ERROR"
    unknown = client.send_task("nowhere")
    with pytest.raises(NotRegistered):
        unknown.get(timeout=10)


def test_its_retries(client: Any, stage: Stage) -> None:
    result = client.jobs("flaky", 2).delay()
    assert result.get(timeout=10) == "done after 2"
    assert stage.path(result.id) == "QUEUED RUNNING ERROR ERROR_RETRY " * 2 + "QUEUED RUNNING FINISHED"
    later = client.jobs("flaky", 1, 2.0).delay()
    eventually(lambda: later.state == "RETRY")
    assert later.get(timeout=10) == "done after 1"
    assert "ERROR_RETRY WAITING_FOR_START QUEUED RUNNING" in stage.path(later.id)


def test_its_canvas(client: Any, stage: Stage) -> None:
    add = client.jobs("add", 1)
    assert chain(client.jobs("add", 1, 1), add, add).delay().get(timeout=10) == 4
    assert group(client.jobs("add", n, n) for n in range(3)).delay().get(timeout=10) == [0, 2, 4]
    body = chord([client.jobs("add", 1, 1), client.jobs("flaky", 1)], client.jobs("add", ["and"]))
    assert body.delay().get(timeout=10) == [2, "done after 1", "and"]


def test_given_back_to_the_queue(client: Any, stage: Stage) -> None:
    result = client.jobs("requeues").delay()
    assert result.get(timeout=10) == "now"
    assert stage.notes(result.id) == ["delivered again: False", "delivered again: True"]
    lost = client.jobs("dies_once").delay()
    assert lost.get(timeout=20) == "second life"
    assert stage.path(lost.id) == "QUEUED RUNNING ABORTED ABORTED_RESTART QUEUED RUNNING FINISHED"


def test_its_revoke(client: Any, stage: Stage) -> None:
    result = client.jobs("add", 1, 2).apply_async(countdown=1.5)
    result.revoke()
    with pytest.raises(TaskRevokedError):
        result.get(timeout=10)
    running = client.jobs("wait_for", "for ever").delay()
    eventually(lambda: stage.notes(running.id))
    running.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        running.get(timeout=10)
    assert stage.ended(running.id).outcome is Outcome.KILLED
    assert stage.notes(result.id) == []


def test_what_its_worker_does_not_accept(client: Any, stage: Stage) -> None:
    jobs = [stage.m.add.s(1, 1).set(task_id=f"{name}-{stage.app.oid}", countdown=0.1) for name in ("a", "m", "z")]
    refused = jobs[1].set(serializer="pickle")
    results = [job.delay() for job in jobs]
    assert (results[0].get(timeout=10), results[2].get(timeout=10)) == (2, 2)
    with pytest.raises(ContentDisallowed, match="pickle"):
        results[1].get(timeout=10)
    assert stage.ended(refused.id).outcome is Outcome.FAILED


def test_redelivered_after_its_end_it_is_not_run_again(client: Any, stage: Stage) -> None:
    result = client.jobs("add", 20, 1).set(queue="aside").delay()
    (message,) = waiting(client, "aside", keep=False)
    put(client, "celery", message)
    assert result.get(timeout=10) == 21

    again = deepcopy(message)
    again["headers"]["redelivered"] = again["properties"].setdefault("delivery_info", {})["redelivered"] = True
    stage.app.control.cancel_consumer("celery", reply=True, timeout=5)
    put(client, "celery", again)
    assert waiting(client), "RabbitMQ says of what was looked at that it is delivered again"
    stage.app.control.add_consumer("celery", reply=True, timeout=5)
    eventually(lambda: f"delivery of {JOBS_APP}.add[{result.id}] dropped: the job is FINISHED" in stage.worker.log)
    assert stage.notes(result.id) == ["added"]
    assert stage.path(result.id) == "QUEUED RUNNING FINISHED"


def test_delivered_twice_at_once_it_runs_once(client: Any, stage: Stage) -> None:
    result = client.jobs("wait_for", "twice").set(queue="aside").delay()
    (message,) = waiting(client, "aside", keep=False)
    put(client, "celery", message, message)
    eventually(lambda: f"delivery of {JOBS_APP}.wait_for[{result.id}] dropped: the job is RUNNING" in stage.worker.log)
    stage.go("twice")
    assert result.get(timeout=10) == "went on"
    assert stage.notes(result.id) == ["begun"]

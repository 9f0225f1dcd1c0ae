"""A submission is recorded before its message goes out, and refused whole or accepted whole."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from celery import Celery, group, signals
from kombu.exceptions import EncodeError, OperationalError

from jobkit import (
    InvalidOption,
    JobKit,
    JobUnknown,
    NotSerializable,
    PayloadTooLarge,
    State,
    StoreRefused,
    StoreUnavailable,
    config,
)
from jobkit.embedded import EmbeddedRedis
from tests.brokers import beside, waiting


@contextmanager
def connected(signal: Any, receiver: Any) -> Iterator[None]:
    signal.connect(receiver)
    try:
        yield
    finally:
        signal.disconnect(receiver)


def keys(jobs: JobKit) -> set[bytes]:
    found: Any = jobs.store.client.keys("*")
    return set(found)


def test_a_job_is_queued_the_moment_delay_returns(jobs: JobKit, add: Any) -> None:
    handle = add.delay(1, 2)
    job = handle.job
    assert (job.state, job.run, job.task, job.queue, job.args) == (State.QUEUED, 1, "small.add", "celery", "(1, 2)")
    assert handle.state == "PENDING"
    assert handle.exists()
    assert [step.target for step in handle.history()] == [State.QUEUED]


def test_an_id_nobody_submitted_is_unknown(jobs: JobKit, app: Celery) -> None:
    with pytest.raises(JobUnknown, match="nobody"):
        jobs.get("nobody")
    with pytest.raises(JobUnknown):
        app.AsyncResult("nobody").job  # noqa: B018
    assert not app.AsyncResult("nobody").exists()


def test_submit_takes_owner_tags_and_an_id_of_ones_own(jobs: JobKit, add: Any) -> None:
    handle = jobs.submit(add.s(1, 2), owner="alice", tags=["spring", "csv", "spring"], job_id="import-7")
    assert handle.id == "import-7"
    assert (handle.job.owner, handle.job.tags) == ("alice", ("spring", "csv"))
    assert [job.id for job in jobs.query(owner="alice").jobs] == ["import-7"]
    assert [job.id for job in jobs.query(tag="csv").jobs] == ["import-7"]


def test_every_job_of_a_canvas_gets_the_owner(jobs: JobKit, add: Any) -> None:
    jobs.submit(group(add.s(n, n) for n in range(3)), owner="bob")
    assert len(jobs.query(owner="bob").jobs) == 3


def test_a_start_time_keeps_the_message_out_of_the_broker(jobs: JobKit, add: Any) -> None:
    start = datetime.now(timezone.utc) + timedelta(hours=1)
    job = jobs.submit(add.s(1, 2), start_at=start).job
    assert job.state is State.WAITING_FOR_START
    assert job.start_at is not None
    assert abs((job.start_at - start).total_seconds()) < 0.01
    assert add.apply_async((1, 2), countdown=60).job.state is State.WAITING_FOR_START
    assert waiting(jobs.app) == []


def test_celerys_signals_are_sent_once_by_who_submits_and_their_changes_are_kept(jobs: JobKit, add: Any) -> None:
    told: list[str] = []

    def before(headers: dict[str, Any], **_: Any) -> None:
        headers["trace_parent"] = "t1"
        told.append("before")

    def after(headers: dict[str, Any], **_: Any) -> None:
        told.append(f"after {headers['trace_parent']}")

    with connected(signals.before_task_publish, before), connected(signals.after_task_publish, after):
        handle = add.apply_async((1, 2), countdown=3600)
        assert told == ["before", "after t1"]
        jobs.change_start_time(handle.id, datetime.now(timezone.utc))
        assert told == ["before", "after t1"]
    [message] = waiting(jobs.app)
    headers = message["headers"]
    assert (headers["id"], headers["trace_parent"], headers["job_run"]) == (handle.id, "t1", 1)


def test_a_job_after_another_waits_for_it(jobs: JobKit, add: Any) -> None:
    first = add.delay(1, 2)
    assert jobs.submit(add.s(3, 4), after=first).job.state is State.WAITING_FOR_PREDECESSOR
    with pytest.raises(JobUnknown, match="nobody"):
        jobs.submit(add.s(3, 4), after="nobody")


def test_the_same_id_once_more_replaces_a_job_that_waits(jobs: JobKit, add: Any) -> None:
    jobs.submit(add.s(1, 2), job_id="one")
    job = jobs.submit(add.s(3, 4), job_id="one").job
    assert (job.run, job.state, job.args) == (2, State.QUEUED, "(3, 4)")
    assert [run.state for run in jobs.runs("one")] == [State.REPLACED, State.QUEUED]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"owner": "a\nb"}, "owner"),
        ({"tags": ["x" * 129]}, "tags"),
        ({"start_at": -1}, "start_at=-1"),
        ({"start_at": datetime(2030, 1, 1)}, "time zone"),
        ({"start_at": "tomorrow"}, "start_at='tomorrow'"),
    ],
)
def test_a_bad_option_is_named_with_its_value_and_nothing_is_written(
    jobs: JobKit, add: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidOption, match=said):
        jobs.submit(add.s(1, 2), **options)
    assert keys(jobs) == set()


def test_an_unknown_setting_names_the_nearest_one(app: Celery) -> None:
    app.conf.jobkit_retenton = 5
    with pytest.raises(InvalidOption, match="did you mean jobkit_retention"):
        JobKit(app).settings  # noqa: B018


@pytest.mark.parametrize(
    ("name", "value"), [("retention", -1), ("lease", 0), ("renew", 9), ("namespace", "a b"), ("patience", "x")]
)
def test_a_bad_setting_is_named(app: Celery, name: str, value: object) -> None:
    with pytest.raises(InvalidOption, match=f"jobkit_{name}={value!r}"):
        JobKit(app, **{name: value}).settings  # noqa: B018


def test_an_app_has_one_jobkit(app: Celery, jobs: JobKit) -> None:
    with pytest.raises(InvalidOption, match=r"app\.jobkit"):
        JobKit(app)
    assert app.jobkit is jobs


def test_a_lease_is_renewed_three_times_before_it_runs_out() -> None:
    assert config.read({}, {"lease": 1.5, "renew": 0.5}).renew == 0.5
    with pytest.raises(InvalidOption, match=r"jobkit_renew=3\.0: must be at most a third of jobkit_lease=8\.0"):
        config.read({}, {"lease": 8.0})


def test_arguments_that_cannot_be_written_are_refused_whole(jobs: JobKit, add: Any) -> None:
    with pytest.raises(NotSerializable, match="of small") as caught:
        add.delay(object(), 2)
    assert isinstance(caught.value, EncodeError)
    assert keys(jobs) == set()


def test_fifty_megabytes_are_refused_whole(jobs: JobKit, add: Any) -> None:
    with pytest.raises(PayloadTooLarge, match="limit is 8,388,608"):
        add.delay("x" * 50_000_000, 2)
    assert keys(jobs) == set()


def app_at(url: str) -> tuple[JobKit, Any]:
    app = Celery("small", **beside(url))

    @app.task(name="small.add", shared=False)
    def add(a: int, b: int) -> int:
        return a + b

    return JobKit(app, patience=0.5), add


def test_redis_down_is_said_within_bounds_in_celerys_words_too() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        _, task = app_at(f"redis://127.0.0.1:{unused.getsockname()[1]}/0")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="not accepted") as caught:
            task.delay(1, 2)
    assert isinstance(caught.value, OperationalError)
    assert time.monotonic() - began < 5


def test_a_wrong_password_is_said() -> None:
    with EmbeddedRedis() as server:
        _, task = app_at(server.url.replace(server.url.split(":")[2].split("@")[0], "wrong"))
        with pytest.raises(StoreRefused, match="password"):
            task.delay(1, 2)


def test_a_read_only_redis_is_said_and_nothing_is_written() -> None:
    with EmbeddedRedis() as server:
        jobs, task = app_at(server.url)
        jobs.store.client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreRefused, match="replica"):
            task.delay(1, 2)
        assert keys(jobs) == set()


def test_a_broker_that_is_down_leaves_no_record(jobs: JobKit, app: Celery, add: Any) -> None:
    app.conf.broker_url = "redis://127.0.0.1:1/0"
    app.conf.task_publish_retry = False
    with pytest.raises(OperationalError):
        add.delay(1, 2)
    assert keys(jobs) == set()


def test_a_redis_that_accepts_and_never_answers_is_said_within_bounds() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as deaf:
        jobs, task = app_at(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
        jobs.app.conf.redis_socket_timeout = 0.5
        with pytest.raises(StoreUnavailable):
            task.delay(1, 2)


def test_waiting_for_redis_has_a_limit_of_its_own(app: Celery) -> None:
    pool = JobKit(app).store.client.connection_pool
    assert pool.connection_kwargs["socket_timeout"] == 10.0
    assert pool.connection_kwargs["socket_connect_timeout"] == 3.0

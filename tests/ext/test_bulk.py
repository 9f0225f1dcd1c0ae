"""Thousands at once: the same messages and records as one by one; where it breaks, none is lost or taken twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from celery import Celery, group, signals
from hypothesis import given, settings
from hypothesis import strategies as st

from jobkit import JobKit, Lock, NotAllSubmitted, PayloadTooLarge, State, StoreRefused, StoreUnavailable, store
from jobkit.embedded import EmbeddedRedis
from jobkit.ext import batch
from jobkit.ext.batch import Batch, batched
from jobkit.ext.templates import Template
from jobkit.store.bulk import Entry
from tests.brokers import beside, kind, only, waiting
from tests.ext.test_submit import connected

#: For tests of how many messages are made, and recorded, together.
together = only("redis", why="each message is published by itself")
#: What differs in any case: when it was, which it is.
MOMENTS = (b"path", b"submitted", b"since")
_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=30,
)


@pytest.fixture(autouse=True)
def connected_to_broker(app: Celery, jobs: JobKit) -> None:
    """The first that an app ever sends is published by kombu."""
    with app.producer_or_acquire() as producer:
        producer.connection.connect()


@pytest.fixture
def made(jobs: JobKit, monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """Those that Celery itself made."""
    found: list[Entry] = []
    add = Batch.add

    def noted(self: Batch, entry: Entry, then: Any) -> None:
        found.append(entry)
        add(self, entry, then)

    monkeypatch.setattr(Batch, "add", noted)
    return found


@pytest.fixture
def any_of(app: Celery) -> Any:
    """A task that takes whatever it is given."""

    @app.task(name="small.any", shared=False)
    def any_of(*args: Any, **kwargs: Any) -> None: ...

    return any_of


def queue(jobs: JobKit) -> list[dict[str, Any]]:
    return waiting(jobs.app)


def record(jobs: JobKit, job_id: str) -> dict[bytes, bytes]:
    found: Any = jobs.store.client.hgetall(jobs.store.keys.job(job_id))
    return dict(found)


def captured(jobs: JobKit, send: Callable[[], Any]) -> Entry:
    """What would be recorded."""
    collected = Batch(jobs.store)
    with suppress(InterruptedError), batched(collected):
        send()
        raise InterruptedError
    entry = collected.last()
    assert entry
    return entry


def test_they_are_accepted_in_their_order(jobs: JobKit, add: Any) -> None:
    told: list[tuple[int, int]] = []
    handles = jobs.submit_many(
        [add.s(n, n) for n in range(600)], owner="alice", tags=("a",), progress=lambda *done: told.append(done)
    )
    assert [message["headers"]["id"] for message in queue(jobs)] == [handle.id for handle in handles]
    assert [handle.job.args for handle in handles] == [f"({n}, {n})" for n in range(600)]
    assert len(jobs.query(owner="alice", tag="a", limit=1000).jobs) == 600
    assert told[-1] == (600, 600)
    assert sorted(told) == told


@together
def test_celery_makes_the_first_and_the_others_are_like_it(jobs: JobKit, add: Any, made: list[Entry]) -> None:
    handles = jobs.submit_many(add.s(n, 1) for n in range(50))
    assert [entry.plan.id for entry in made] == [handles[0].id]
    [first, other] = (record(jobs, handles[n].id) for n in (0, 7))
    assert first.keys() == other.keys()
    assert {name for name in first if first[name] != other[name]} == {
        b"message",
        b"args",
        b"submitted",
        b"since",
        b"path",
    } & {name for name in first if first[name] != other[name]}
    assert handles[7].ignored is handles[0].ignored is False


@together
@settings(max_examples=150, deadline=None)
@given(args=st.lists(_JSON, max_size=4), kwargs=st.dictionaries(st.text(max_size=10), _JSON, max_size=3))
def test_a_message_that_is_made_like_another_is_what_celery_makes(
    templates: tuple[JobKit, Any, Template], args: list[Any], kwargs: dict[str, Any]
) -> None:
    jobs, task, template = templates
    signature = task.signature(tuple(args), kwargs)
    entry = captured(jobs, lambda: signature.apply_async(task_id="an-id"))
    answer = template.row("an-id", signature.args, signature.kwargs)
    assert answer
    row, size = answer
    like, celerys = entry.alike() or (None, None)
    assert like
    assert celerys
    tag = json.loads(entry.put.message)["properties"]["delivery_tag"]
    put, *own = (text.of(row) for text in template.like.texts)
    assert (put, own) == (entry.put.message.replace(tag, "an-id"), list(celerys.values[1:]))
    assert template.like._replace(texts=()) == like._replace(texts=())
    assert size == len(own[0])


@pytest.fixture(scope="module")
def templates(jobkit_redis: EmbeddedRedis) -> Iterator[tuple[JobKit, Any, Template]]:
    """An app, a task of it, and how its messages are made."""
    app = Celery("any", **beside(jobkit_redis.url))
    jobs = JobKit(app, namespace="templates")

    @app.task(name="any", shared=False)
    def task(*args: Any, **kwargs: Any) -> None: ...

    task.delay()
    first = task.s("100%s", of="what")
    yield jobs, task, Template(jobs, task, first.args, first.kwargs, captured(jobs, first.apply_async))
    jobs.close()


@together
@pytest.mark.parametrize("why", ["a receiver", "a router", "its own apply_async", "events", "locks", "a moment"])
def test_who_has_a_say_in_each_message_is_asked_for_each(
    jobs: JobKit, app: Celery, made: list[Entry], why: str
) -> None:
    class Own(app.Task):
        def apply_async(self, *args: Any, **options: Any) -> Any:
            return super().apply_async(*args, **options)

    app.conf.task_send_sent_event = why == "events"
    if why == "a router":
        app.conf.task_routes = [lambda *args, **options: {"queue": "celery"}]

    @app.task(name="small.own", shared=False, base=Own if why == "its own apply_async" else None)
    def task(n: int) -> int:
        return n

    options = {"countdown": 60} if why == "a moment" else {}
    extra: dict[str, Any] = {"locks": [Lock("a", shared=True)]} if why == "locks" else {}
    seen: list[str] = []
    receive = lambda sender=None, headers=None, **more: seen.append(headers["id"])  # noqa: E731
    if why == "a receiver":
        with connected(signals.before_task_publish, receive):
            handles = jobs.submit_many([task.s(n) for n in range(20)])
        assert seen == [handle.id for handle in handles]
    else:
        handles = jobs.submit_many([task.s(n).set(**options) for n in range(20)], **extra)
    assert [entry.plan.id for entry in made] == [handle.id for handle in handles]
    assert all(handle.job.state in (State.QUEUED, State.WAITING_FOR_START) for handle in handles)


def test_different_tasks_options_and_canvases_may_be_mixed(jobs: JobKit, add: Any, any_of: Any) -> None:
    given = [
        sig
        for n in range(40)
        for sig in (add.s(n, 1), any_of.s(x=n), add.s(n, 2).set(queue="other"), group(add.s(n, 3), add.s(n, 4)))
    ]
    handles = jobs.submit_many(given)
    assert [message["headers"]["argsrepr"] for message in queue(jobs)][:4] == ["(0, 1)", "()", "(0, 3)", "(0, 4)"]
    assert len(queue(jobs)) == 160
    assert len(waiting(jobs.app, "other")) == 40
    assert [handle.job.queue for handle in handles[:3]] == ["celery", "celery", "other"]
    assert all(child.job.state is State.QUEUED for child in handles[3].children)


def test_a_group_of_thousands_is_recorded_together(jobs: JobKit, add: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []

    class Counted(store.bulk.Flight):
        def __init__(self, *args: Any) -> None:
            called.append(len(args[2]))
            super().__init__(*args)

    monkeypatch.setattr(store.bulk, "Flight", Counted)
    result = jobs.submit(group(add.s(n, 1) for n in range(1_000)), owner="alice")
    assert called == ([250] * 4 if kind() == "redis" else [])
    assert len(result.children) == 1_000
    assert jobs.store.client.hget(jobs.store.keys.key("family", result.id), "live") == b"1000"


def test_what_is_wrong_with_one_is_not_wrong_with_those_before_it(jobs: JobKit, add: Any) -> None:
    with pytest.raises(NotAllSubmitted, match="2 of the jobs were accepted, then: ") as caught:
        jobs.submit_many([add.s(1, 1), add.s(2, 2), add.s(3), add.s(4, 4)])
    assert isinstance(caught.value.__cause__, TypeError)
    assert [handle.job.args for handle in caught.value.handles] == ["(1, 1)", "(2, 2)"]
    assert [sig.args for sig in caught.value.rest] == [(3,), (4, 4)]


def test_the_first_that_is_wrong_is_refused_as_submit_does(jobs: JobKit, add: Any) -> None:
    with pytest.raises(TypeError):
        jobs.submit_many([add.s(1), add.s(2, 2)])
    with pytest.raises(PayloadTooLarge):
        jobs.submit_many([add.s("x" * 20_000_000, 1)])
    assert jobs.counts()[State.QUEUED] == 0


def test_a_large_one_is_refused_among_small_ones(jobs: JobKit, add: Any) -> None:
    with pytest.raises(NotAllSubmitted) as caught:
        jobs.submit_many([add.s(1, 1), add.s("x" * 20_000_000, 1)])
    assert isinstance(caught.value.__cause__, PayloadTooLarge)
    assert len(caught.value.handles) == 1


@together
@pytest.mark.parametrize("applied", [True, False], ids=["the answer is lost", "the call is lost"])
def test_where_redis_goes_in_the_middle_it_can_be_gone_on_with(
    jobs: JobKit, add: Any, monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    monkeypatch.setattr(batch, "JOBS", 10)
    begun: list[Any] = []

    class Broken(store.bulk.Flight):
        """The second, after the first chunk, which is recorded at once: it has one job that Celery has made."""

        def __init__(self, *args: Any) -> None:
            begun.append(self)
            self.broken = len(begun) == 2
            if applied or not self.broken:
                super().__init__(*args)

        def answer(self) -> Any:
            answer = super().answer() if applied or not self.broken else None
            if self.broken:
                raise StoreUnavailable(url="redis://gone", reason="it is gone", silent=True)
            return answer

        def close(self) -> None: ...

    monkeypatch.setattr(store.bulk, "Flight", Broken)
    with pytest.raises(NotAllSubmitted) as caught:
        jobs.submit_many(add.s(n, 1) for n in range(45))
    accepted = caught.value.handles
    assert len(accepted) == 20
    assert all(handle.job.state is State.QUEUED for handle in accepted)
    rest = jobs.submit_many(caught.value.rest, again=True)
    assert [handle.job.args for handle in accepted + rest] == [f"({n}, 1)" for n in range(45)]
    assert [message["headers"]["argsrepr"] for message in queue(jobs)] == [f"({n}, 1)" for n in range(45)]
    assert all(len(handle.history()) == 1 for handle in accepted + rest)


@together
def test_redis_that_is_full_refuses_the_first_chunk_with_its_own_error(
    jobs: JobKit, add: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> Any:
        raise StoreRefused(url="redis://full", reason="OOM")

    monkeypatch.setattr(store.bulk, "submit", full)
    with pytest.raises(StoreRefused, match="OOM"):
        jobs.submit_many(add.s(n, 1) for n in range(45))


def test_an_id_that_waits_is_replaced_as_submit_does(jobs: JobKit, add: Any) -> None:
    jobs.submit(add.s(1, 1), job_id="mine")
    jobs.submit_many([add.s(2, 2).set(task_id="mine"), add.s(3, 3)])
    assert [step.target for step in jobs.history("mine")] == [State.QUEUED, State.REPLACED, State.QUEUED]
    assert jobs.get("mine").args == "(2, 2)"


@pytest.fixture
def alone(jobkit_store_url: str) -> Iterator[tuple[JobKit, Any]]:
    """An app without the transport, and a task of it."""
    app = Celery("other", **beside(jobkit_store_url))
    jobs = JobKit(app, transport=False)

    @app.task(name="small.other", shared=False)
    def other(n: int) -> int:
        return n

    yield jobs, other
    jobs.close()


def test_without_the_transport_messages_are_published_one_by_one(
    alone: tuple[JobKit, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "JOBS", 10)
    jobs, other = alone
    told: list[int] = []
    handles = jobs.submit_many([other.s(n) for n in range(30)], progress=lambda done, _: told.append(done))
    assert {10, 20} < set(told)
    assert told[-1] == 30
    assert [message["headers"]["id"] for message in queue(jobs)] == [handle.id for handle in handles]
    assert {message["headers"]["job_run"] for message in queue(jobs)} == {1}
    jobs.submit_many((other.s(n).set(task_id=handle.id) for n, handle in enumerate(handles)), again=True)
    assert len(queue(jobs)) == 30
    assert {len(handle.history()) for handle in handles} == {1}


def test_what_was_published_before_one_is_refused_is_accepted(alone: tuple[JobKit, Any]) -> None:
    jobs, other = alone
    with pytest.raises(NotAllSubmitted, match="2 of the jobs were accepted") as caught:
        jobs.submit_many([other.s(1), other.s(2), other.s("x" * 20_000_000), other.s(4)])
    assert isinstance(caught.value.__cause__, PayloadTooLarge)
    assert [handle.job.args for handle in caught.value.handles] == ["(1,)", "(2,)"]
    assert [len(str(sig.args)) for sig in caught.value.rest] == [20_000_005, 4]


@pytest.mark.parametrize("applied", [True, False], ids=["the answer is lost", "the call is lost"])
def test_one_by_one_too_it_can_be_gone_on_with_where_redis_goes_in_the_middle(
    alone: tuple[JobKit, Any], monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    jobs, other = alone
    create, asked = store.bulk.create, list[Entry]()

    def broken(store: Any, entry: Entry) -> Any:
        asked.append(entry)
        answer = create(store, entry) if applied or len(asked) != 20 else None
        if len(asked) == 20:
            raise StoreUnavailable(url="redis://gone", reason="it is gone", silent=True)
        return answer

    monkeypatch.setattr(store.bulk, "create", broken)
    with pytest.raises(NotAllSubmitted) as caught:
        jobs.submit_many(other.s(n) for n in range(45))
    assert len(caught.value.handles) == 19
    handles = caught.value.handles + jobs.submit_many(caught.value.rest, again=True)
    assert [handle.job.args for handle in handles] == [f"({n},)" for n in range(45)]
    assert jobs.counts()[State.QUEUED] == 45
    assert {len(handle.history()) for handle in handles} == {1}


def test_thousands_are_aborted_at_once_and_once_more(jobs: JobKit, add: Any) -> None:
    handles = jobs.submit_many(add.s(n, 1) for n in range(700))
    later = jobs.submit(add.s(1, 1), start_at=3600)
    told: list[tuple[int, int]] = []
    found = jobs.abort_many([*handles, later.id, "nobody"], "enough", progress=lambda *done: told.append(done))
    assert {found[handle.id] for handle in handles} == {State.REMOVING}
    assert (found[later.id], found["nobody"]) == (State.REMOVING, None)
    assert told[-1] == (702, 702)
    # Its removal goes through the queue, and its message was not out yet.
    assert len(queue(jobs)) == 701
    assert jobs.history(handles[3].id)[-1].reason == "enough"
    assert jobs.abort_many(handles) == {handle.id: State.REMOVING for handle in handles}
    assert len(queue(jobs)) == 701

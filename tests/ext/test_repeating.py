"""`delay()` of a task that was sent before does not ask Celery again, unless anybody has a say in it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, Task, signals
from celery._state import _task_stack
from kombu.exceptions import EncodeError
from kombu.messaging import Producer

from jobkit import JobKit, Lock, Policy, State, StoreUnavailable
from jobkit.embedded import EmbeddedRedis
from jobkit.ext import amqp
from tests.brokers import beside, only, waiting
from tests.ext.test_submit import connected


@pytest.fixture
def by_celery(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of those whose messages Celery made."""
    made: list[str] = []
    publish = amqp.Recorder.publish

    def noted(self: Any, body: Any, **options: Any) -> Any:
        made.append(options["headers"]["id"])
        return publish(self, body, **options)

    monkeypatch.setattr(amqp.Recorder, "publish", noted)
    return made


@pytest.fixture
def sent(jobs: JobKit, add: Any, by_celery: list[str]) -> Any:
    """A task that was sent twice: first to connect, then to learn."""
    add.delay(0, 0)
    add.delay(0, 1)
    waiting(jobs.app, keep=False)
    by_celery.clear()
    return add


def queue(jobs: JobKit) -> list[dict[str, Any]]:
    return waiting(jobs.app)


@only("redis", why="Celery makes each message")
def test_the_third_is_like_the_second(jobs: JobKit, sent: Any, by_celery: list[str]) -> None:
    handles = [sent.delay(n, b=n) for n in range(3)]
    assert by_celery == []
    other = sent.apply_async((9,), {"b": 9}, countdown=0)
    assert by_celery == [other.id]
    like, celerys = record(jobs, handles[2].id), record(jobs, other.id)
    assert like.keys() == celerys.keys()
    same = like.keys() - {b"path", b"since", b"submitted", b"message", b"args", b"kwargs"}
    assert {name: like[name] for name in same} == {name: celerys[name] for name in same}
    assert [plain(message, handle) for message, handle in zip(queue(jobs)[2:], (handles[2], other), strict=True)] == [
        plain(queue(jobs)[3], other, "(2,)", "{'b': 2}"),
        plain(queue(jobs)[3], other),
    ]
    assert [handle.job.state for handle in handles] == [State.QUEUED] * 3
    assert type(handles[0]) is type(other)
    assert handles[0].ignored == other.ignored


def record(jobs: JobKit, job_id: str) -> dict[bytes, bytes]:
    found: Any = jobs.store.client.hgetall(jobs.store.keys.job(job_id))
    return dict(found)


def plain(message: dict[str, Any], handle: Any, args: str = "", kwargs: str = "") -> dict[str, Any]:
    """A message without its id; with other arguments if given."""
    text = json.dumps({**message, "body": ""}).replace(handle.id, "ID")
    found: dict[str, Any] = json.loads(text)
    found["properties"].pop("delivery_tag")
    found["headers"] |= {"argsrepr": args, "kwargsrepr": kwargs} if args else {}
    return found


def test_wrong_arguments_are_refused_as_celery_does(sent: Any) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        sent.delay(1)
    with pytest.raises(EncodeError, match="cannot be written as json"):
        sent.delay(1, object())


def wrap(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, seen: list[Any]) -> None:
    real = getattr(kind, name)

    def noted(*args: Any, **options: Any) -> Any:
        seen.append(args)
        return real(*args, **options)

    monkeypatch.setattr(kind, name, noted)


def wrap_apply_async(monkeypatch: pytest.MonkeyPatch, seen: list[Any]) -> None:
    wrap(monkeypatch, Task, "apply_async", seen)


def wrap_publish(monkeypatch: pytest.MonkeyPatch, seen: list[Any]) -> None:
    wrap(monkeypatch, Producer, "publish", seen)


@pytest.mark.parametrize("tracer", [wrap_apply_async, wrap_publish])
def test_who_traces_what_is_sent_sees_all_of_it(
    monkeypatch: pytest.MonkeyPatch, sent: Any, by_celery: list[str], tracer: Callable[..., None]
) -> None:
    seen: list[Any] = []
    tracer(monkeypatch, seen)
    handles = [sent.delay(n, n) for n in range(4)]
    assert by_celery == [handle.id for handle in handles]
    assert len(seen) >= 4


@pytest.mark.parametrize("signal", [signals.before_task_publish, signals.after_task_publish], ids=["before", "after"])
def test_receivers_hear_of_each(sent: Any, signal: Any) -> None:
    heard: list[Any] = []
    with connected(signal, lambda headers=None, **more: heard.append(headers["id"])):
        handles = [sent.delay(n, n) for n in range(3)]
    assert heard == [handle.id for handle in handles]


def test_routes_are_asked_once_they_are_functions(jobs: JobKit, app: Celery, sent: Any) -> None:
    routes = [lambda name, args, kwargs, options, task=None, **more: {"queue": f"q{args[0]}"}]
    app.conf.update(task_routes=routes)
    assert [sent.delay(n, 1).job.queue for n in range(3)] == ["q0", "q1", "q2"]


def test_other_routes_hold_from_then_on(jobs: JobKit, app: Celery, sent: Any) -> None:
    app.conf.update(task_routes={"small.*": {"queue": "other"}})
    assert [sent.delay(n, 1).job.queue for n in range(4)] == ["other"] * 4


def test_eager_and_events_hold_from_then_on(app: Celery, sent: Any, by_celery: list[str]) -> None:
    app.conf.task_always_eager = True
    assert sent.delay(2, 3).get() == 5
    app.conf.task_always_eager = False
    app.conf.task_send_sent_event = True
    assert sent.delay(2, 3).id in by_celery


def test_a_task_that_sends_is_the_parent(jobs: JobKit, sent: Any, by_celery: list[str]) -> None:
    sent.push_request(id="above", root_id="above", called_directly=False, children=[])
    _task_stack.push(sent)
    try:
        handle = sent.delay(1, 2)
    finally:
        _task_stack.pop()
        sent.pop_request()
    assert handle.id in by_celery
    assert queue(jobs)[-1]["headers"]["parent_id"] == "above"


@pytest.mark.parametrize("kind", ["owner", "many", "locks", "ignored"])
def test_wishes_and_policies_are_heeded(jobs: JobKit, app: Celery, sent: Any, kind: str) -> None:
    if kind == "owner":
        assert jobs.submit(sent.s(1, 2), owner="alice").job.owner == "alice"
        assert sent.delay(1, 2).job.owner == ""
    elif kind == "many":
        assert len({handle.id for handle in jobs.submit_many([sent.s(1, 2)] * 3)}) == 3
    elif kind == "locks":

        @app.task(name="small.locking", shared=False, policy=Policy(locks=lambda n: [Lock(f"n{n % 2}")]))
        def locking(n: int) -> None: ...

        states = [locking.delay(n).job.state for n in range(4)]
        assert states == [State.QUEUED] * 2 + [State.WAITING_FOR_LOCK] * 2
    else:
        sent.ignore_result = True
        assert [sent.delay(n, n).ignored for n in range(4)] == [True] * 4


def test_each_thread_and_each_process_says_who_it_is(jobs: JobKit, app: Celery, sent: Any) -> None:
    first = sent.delay(1, 1)
    thread = threading.Thread(target=lambda: [sent.delay(n, 2) for n in range(3)])
    thread.start()
    thread.join()
    if (pid := os.fork()) == 0:
        try:
            [sent.delay(n, 3) for n in range(3)]
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    found = {message["headers"]["argsrepr"]: message for message in queue(jobs)}
    assert len(found) == 7
    mine = found[first.job.args]["properties"]["reply_to"]
    threads = {found[f"({n}, 2)"]["properties"]["reply_to"] for n in range(3)}
    assert len(threads) == 1
    assert mine not in threads
    origins = {found[f"({n}, 3)"]["headers"]["origin"] for n in range(3)}
    assert origins == {f"gen{pid}@{os.uname().nodename}"}


def test_without_redis_it_is_refused_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedRedis() as server:
        app = Celery("alone", **beside(server.url))
        jobs = JobKit(app, patience=0.2)

        @app.task(name="alone.task", shared=False)
        def task(n: int) -> None: ...

        for n in range(3):
            task.delay(n)
    with pytest.raises(amqp.SubmitFailed):
        task.delay(3)
    assert issubclass(amqp.SubmitFailed, StoreUnavailable)
    jobs.close()

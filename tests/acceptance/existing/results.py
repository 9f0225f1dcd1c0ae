"""Results, and what can be asked of them."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import pytest
from celery import signals
from celery.exceptions import TimeoutError
from kombu.exceptions import EncodeError

from jobkit.testing import eventually
from tests.acceptance.existing.shop import Shop, concurrent


def test_every_way_to_send(shop: Shop) -> None:
    add = shop.m.add
    results = [
        add.delay(1, 2),
        add.apply_async((1,), {"y": 2}),
        add.s(1).delay(2),
        add.s(1, 2)(),
        shop.app.send_task(add.name, (1, 2)),
        shop.app.send_task(add.name, kwargs={"x": 1, "y": 2}, task_id="chosen"),
        shop.app.signature(add.name, (1, 2)).apply_async(),
    ]
    assert results[3] == 3  # a signature that is called runs here
    assert [result.get(timeout=10) for result in results if result != 3] == [3] * 6
    assert results[5].id == "chosen"
    assert shop.m.total.delay([1, 2], extra=3).get(timeout=10) == 6


def test_a_result_tells_all_about_a_success(shop: Shop) -> None:
    before = datetime.now(timezone.utc)
    result = shop.m.add.delay(2, y=3)
    assert result.get(timeout=10) == 5
    for seen in (result, shop.app.AsyncResult(result.id), shop.m.add.AsyncResult(result.id)):
        assert (seen.state, seen.status, seen.result, seen.info) == ("SUCCESS", "SUCCESS", 5, 5)
        assert (seen.ready(), seen.successful(), seen.failed()) == (True, True, False)
        assert (seen.traceback, seen.children, seen.parent) == (None, [], None)
        assert (seen.name, seen.args, seen.kwargs) == (shop.m.add.name, [2], {"y": 3})
        assert (seen.retries, seen.queue) == (0, "celery")
        assert seen.worker.startswith("shop@")
        assert before <= seen.date_done <= datetime.now(timezone.utc)
        assert seen.exists()


def test_any_value_comes_back(shop: Shop) -> None:
    values: tuple[Any, ...] = (
        None,
        0,
        "",
        "ä \u2028 \x00",
        [1, [2, {"three": [None, True, 4.5]}]],
        {},
        {"a": {"b": []}},
    )
    for value in values:
        assert shop.m.add.delay([value], []).get(timeout=10) == [value]
    assert shop.m.kinds.delay((1, (2,))).get(timeout=10) == ["list", "int", "list"]
    assert shop.m.kinds.apply_async(((1, (2,)),), serializer="pickle").get(timeout=10) == ["tuple", "int", "tuple"]
    assert shop.m.add.apply_async(("a" * 10_000, "b"), compression="zlib").get(timeout=10) == "a" * 10_000 + "b"


def test_every_way_to_write_a_task(shop: Shop) -> None:
    m = shop.m
    assert (m.add(1, 2), m.add.run(1, 2), m.divide(6, 3), m.shout.run("a")) == (3, 3, 2, "A")
    assert m.shout.delay("loud").get(timeout=10) == "LOUD"
    assert m.latecomer.delay("LATE").get(timeout=10) == "late"
    assert isinstance(m.divide, m.Audited)
    assert pickle.loads(pickle.dumps(m.add)).name == m.add.name
    result = m.watched.delay()
    with pytest.raises(KeyError, match="watched"):
        result.get(timeout=10)
    shop.heard(result.id, "run", "request failed")
    again = m.watched.delay(requeue=True)
    with pytest.raises(KeyError, match="watched"):
        again.get(timeout=10)
    shop.heard(again.id, "run", "request failed", "run", "request failed")


def test_signals_around_a_message(shop: Shop) -> None:
    heard: list[tuple[str, str]] = []

    def before(sender: str, headers: dict[str, Any], **_: Any) -> None:
        headers["colour"] = "blue"
        heard.append(("before", sender))

    def after(sender: str, **_: Any) -> None:
        heard.append(("after", sender))

    signals.before_task_publish.connect(before)
    signals.after_task_publish.connect(after)
    try:
        result = shop.m.describe.delay()
    finally:
        signals.before_task_publish.disconnect(before)
        signals.after_task_publish.disconnect(after)
    assert heard == [("before", shop.m.describe.name), ("after", shop.m.describe.name)]
    assert result.get(timeout=10)["header"] == "blue"


def test_what_cannot_be_written(shop: Shop) -> None:
    with pytest.raises(EncodeError):
        shop.m.add.delay(object(), 1)
    result = shop.m.not_json.delay()
    with pytest.raises(EncodeError):
        result.get(timeout=10)
    assert result.state == "FAILURE"


def test_an_unknown_id_is_pending(shop: Shop) -> None:
    nobody = shop.app.AsyncResult("nobody")
    assert (nobody.state, nobody.result, nobody.ready(), nobody.exists()) == ("PENDING", None, False, False)
    with pytest.raises(TimeoutError):
        nobody.get(timeout=0)


def test_started_is_visible_while_it_runs(shop: Shop) -> None:
    result = shop.m.wait_for.delay("started")
    shop.heard(result.id, "begun")
    assert result.state == "STARTED"
    assert result.info["hostname"].startswith("shop@")
    assert isinstance(result.info["pid"], int)
    assert not result.ready()
    with pytest.raises(TimeoutError):
        result.get(timeout=0)
    shop.go("started")
    assert result.get(timeout=10) == "went on"
    shop.heard(result.id, "begun", "gone on")


def test_a_state_of_its_own(shop: Shop) -> None:
    told: list[tuple[str, object]] = []
    result = shop.m.report.delay("report")

    def listen() -> object:
        mine = shop.app.AsyncResult(result.id)
        return mine.get(timeout=10, on_message=lambda meta: told.append((meta["status"], meta["result"])))

    def listeners() -> int:
        return sum(count for _, count in shop.redis.pubsub_numsub(*shop.redis.pubsub_channels(f"*{result.id}")))

    before = listeners()  # Celery itself listens from the moment it has sent
    with ThreadPoolExecutor(1) as other:
        heard = other.submit(listen)
        eventually(lambda: listeners() > before)
        for done in (1, 2):
            eventually(lambda done=done: result.info == {"done": done, "of": 3})  # type: ignore[misc]
            assert (result.state, result.ready()) == ("PACKING", False)
            if done == 2:
                eventually(
                    lambda: told
                )  # who has subscribed may not wait yet: of an end that is there he is told nothing
            shop.go("report")
        assert heard.result() == "packed"
    assert told[-2:] == [("PACKING", {"done": 2, "of": 3}), ("SUCCESS", "packed")]


def test_an_ignored_result(shop: Shop) -> None:
    ignored = [shop.m.whisper.delay(), shop.m.add.apply_async((1, 2), ignore_result=True), shop.m.whisper.delay(True)]
    assert [result.get(timeout=10) for result in ignored] == [None, None, None]
    for quiet in (ignored[0], ignored[2]):
        shop.heard(quiet.id, "whispered")
    asked = shop.m.whisper.apply_async(ignore_result=False)
    assert asked.get(timeout=10) == "unheard"


def test_forgotten(shop: Shop) -> None:
    result = shop.m.add.delay(1, 1)
    assert result.get(timeout=10) == 2
    result.forget()
    assert (shop.app.AsyncResult(result.id).state, result.exists()) == ("PENDING", False)


def test_an_id_is_used_again_after_its_end(shop: Shop) -> None:
    first = shop.m.fail.apply_async(task_id="again")
    assert isinstance(first.get(timeout=10, propagate=False), KeyError)
    first.forget()
    assert shop.m.add.apply_async((1, 2), task_id="again").id == "again"
    # Asked anew each time: a client's own memory of an id may still hold the end that came before.
    eventually(lambda: shop.app.AsyncResult("again").state == "SUCCESS")
    assert shop.app.AsyncResult("again").result == 3


def test_children(shop: Shop) -> None:
    result = shop.m.parent.delay(3)
    assert result.get(timeout=10) == "has children"
    assert sorted(child.get(timeout=10) for child in result.children) == [0, 2, 4]
    assert next(value for _, value in result.collect(timeout=10)) == "has children"
    assert {child.id for child in shop.app.AsyncResult(result.id).children} == {child.id for child in result.children}


def test_routes_and_priorities(shop: Shop) -> None:
    assert shop.m.express.apply_async(priority=3).get(timeout=10) == ["express", 3]
    result = shop.m.add.apply_async((1, 2), queue="express")
    assert (result.get(timeout=10), result.queue) == (3, "express")
    nobody_listens = shop.m.add.apply_async((1, 2), queue="elsewhere", expires=3600)
    assert nobody_listens.state == "PENDING"
    nobody_listens.revoke()
    eventually(lambda: nobody_listens.state == "REVOKED")


def test_what_a_task_knows_of_its_request(shop: Shop) -> None:
    result = shop.m.describe.apply_async((1,), {"b": 2}, headers={"colour": "red"}, shadow="somebody else")
    assert result.get(timeout=10) == {
        "id": result.id,
        "task": shop.m.describe.name,
        "args": [1],
        "kwargs": {"b": 2},
        "retries": 0,
        "is_eager": False,
        "root_id": result.id,
        "parent_id": None,
        "group": None,
        "called_directly": False,
        "header": "red",
        "redelivered": False,
    }


@concurrent
def test_the_worker_can_be_asked(shop: Shop) -> None:
    result = shop.m.wait_for.delay("inspected")
    shop.heard(result.id, "begun")
    (active,) = shop.app.control.inspect(**shop.asked).active().values()
    assert [(task["id"], task["args"]) for task in active] == [(result.id, ["inspected"])]
    shop.go("inspected")
    assert result.get(timeout=10) == "went on"
    shop.heard(result.id, "begun", "gone on")

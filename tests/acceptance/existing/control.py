"""When a task starts, and when it never does: eta, expires, revoke."""

from __future__ import annotations

import signal
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from celery import group
from celery.exceptions import TaskRevokedError

from jobkit.testing import eventually
from tests.acceptance.existing.shop import Shop, concurrent, prefork


def in_future(seconds: float, zone: timezone = timezone.utc) -> datetime:
    """That moment."""
    return datetime.now(zone) + timedelta(seconds=seconds)


def test_not_before_its_time(shop: Shop) -> None:
    begun = time.monotonic()
    starts: list[dict[str, Any]] = [
        {"countdown": 0.4},
        {"eta": in_future(0.4)},
        {"eta": in_future(0.4, timezone(timedelta(hours=-7)))},
    ]
    results = [shop.m.divide.apply_async((6, 3), **start) for start in starts]
    assert [result.get(timeout=10) for result in results] == [2, 2, 2]
    assert time.monotonic() - begun >= 0.4
    for result in results:
        eventually(lambda result=result: "postrun" in shop.notes(result.id))  # type: ignore[misc]
        shop.heard(result.id, *shop.notes(result.id))
        assert shop.notes(result.id).count("call") == 1
    assert shop.m.add.apply_async((1, 2), eta=in_future(-60)).get(timeout=10) == 3


def test_expired(shop: Shop) -> None:
    late = [
        shop.m.divide.apply_async((6, 3), expires=in_future(-60)),
        shop.m.divide.apply_async((6, 3), countdown=0.3, expires=0.1),
        shop.m.divide.apply_async((6, 3), expires=in_future(-60), ignore_result=True),
    ]
    for result in late[:2]:
        with pytest.raises(TaskRevokedError, match="expired"):
            result.get(timeout=10)
        assert result.state == "REVOKED"
    for result in late:
        shop.heard(result.id, "revoked")
    assert shop.m.add.apply_async((1, 2), expires=60).get(timeout=10) == 3
    assert shop.m.add.apply_async((1, 2), countdown=0.1, expires=in_future(60)).get(timeout=10) == 3


def test_revoked_before_it_is_due(shop: Shop) -> None:
    result = shop.m.divide.apply_async((6, 3), countdown=1.5)
    result.revoke()
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get(timeout=10)
    assert (result.state, result.ready(), result.successful(), result.failed()) == ("REVOKED", True, False, False)
    together = group(shop.m.divide.s(n, 1) for n in range(3)).apply_async(countdown=1.5)
    together.revoke()
    with pytest.raises(TaskRevokedError):
        together.get(timeout=10)
    eventually(lambda: [member.state for member in together] == ["REVOKED"] * 3)
    assert shop.m.add.apply_async((1, 2), countdown=2.0).get(timeout=10) == 3  # by now they would have run
    for revoked in (result, *together):
        assert "call" not in shop.notes(revoked.id)


@prefork
def test_revoked_while_a_worker_holds_it(shop: Shop) -> None:
    running = [shop.m.wait_for.delay("both slots") for _ in range(2)]
    for task in running:
        shop.heard(task.id, "begun")
    reserved = shop.m.divide.delay(6, 3)
    eventually(lambda: reserved.id in str(shop.app.control.inspect(**shop.asked).reserved()))
    shop.app.control.revoke(reserved.id, reply=True, **shop.asked)
    shop.go("both slots", 2)
    with pytest.raises(TaskRevokedError, match="revoked"):
        reserved.get(timeout=10)
    assert [task.get(timeout=10) for task in running] == ["went on"] * 2
    for task in running:
        shop.heard(task.id, "begun", "gone on")
    shop.heard(reserved.id, "revoked")


@concurrent
def test_revoked_too_late(shop: Shop) -> None:
    result = shop.m.wait_for.delay("runs on")
    shop.heard(result.id, "begun")
    shop.app.control.revoke(result.id, reply=True, **shop.asked)
    shop.go("runs on")
    assert result.get(timeout=10) == "went on"
    shop.app.control.revoke(result.id, reply=True, **shop.asked)
    assert shop.app.AsyncResult(result.id).state == "SUCCESS"
    shop.heard(result.id, "begun", "gone on")


@prefork
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_terminated_while_it_runs(shop: Shop, how: signal.Signals) -> None:
    result = shop.m.wait_for.delay("never")
    shop.heard(result.id, "begun")
    result.revoke(terminate=True, signal=how.name)
    with pytest.raises(TaskRevokedError, match="terminated"):
        result.get(timeout=10)
    assert result.state == "REVOKED"
    assert shop.m.add.delay(1, 1).get(timeout=10) == 2
    shop.heard(result.id, "begun")

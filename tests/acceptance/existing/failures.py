"""Exceptions, rejections, and processes that die."""

from __future__ import annotations

import signal

import pytest
from celery.exceptions import NotRegistered, Reject, TimeLimitExceeded, WorkerLostError
from celery.utils.serialization import UnpickleableExceptionWrapper

from jobkit.testing import eventually
from tests.acceptance.existing.shop import Shop, prefork


def test_an_exception_comes_back_as_it_was(shop: Shop) -> None:
    result = shop.m.fail.delay("which one")
    with pytest.raises(KeyError, match="which one") as caught:
        result.get(timeout=10)
    assert type(caught.value) is KeyError
    for seen in (result, shop.app.AsyncResult(result.id)):
        assert (seen.state, seen.ready(), seen.successful(), seen.failed()) == ("FAILURE", True, False, True)
        assert seen.result.args == seen.info.args == ("which one",)
        assert "raise KeyError(message)\nKeyError: 'which one'" in seen.traceback
        assert isinstance(seen.get(propagate=False), KeyError)
        assert seen.children == []


def test_an_exception_with_several_arguments(shop: Shop) -> None:
    with pytest.raises(shop.m.OutOfStock, match="3 of tea wanted, 2 left") as caught:
        shop.m.sell.delay("tea", 3).get(timeout=10)
    assert (caught.value.thing, caught.value.wanted, caught.value.left) == ("tea", 3, 2)


def test_exceptions_that_do_not_travel(shop: Shop) -> None:
    strange = shop.m.local_exception.delay().get(timeout=10, propagate=False)
    assert isinstance(strange, UnpickleableExceptionWrapper)
    assert (strange.exc_cls_name, strange.exc_args) == ("Strange", ("nobody can import it", 3))
    odd = shop.m.unpicklable.delay().get(timeout=10, propagate=False)
    assert isinstance(odd, Exception)
    assert "ValueError" in repr(odd)
    with pytest.raises(LookupError, match="expected"):
        shop.m.look_up.delay().get(timeout=10)


def test_a_task_nobody_knows(shop: Shop) -> None:
    result = shop.app.send_task("shop.nowhere", (1,))
    with pytest.raises(NotRegistered, match=r"shop\.nowhere"):
        result.get(timeout=10)


def test_wrong_arguments(shop: Shop) -> None:
    with pytest.raises(TypeError):
        shop.m.add.delay(1)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        shop.app.send_task(shop.m.add.name, (1,)).get(timeout=10)


def test_ignored_with_a_state_of_its_own(shop: Shop) -> None:
    result = shop.m.skip.delay()
    eventually(lambda: result.state == "SKIPPED")
    assert result.info["exc_message"] == ["sold out"]
    failed = shop.m.skip.delay("FAILURE")
    with pytest.raises(ValueError, match="sold out"):
        failed.get(timeout=10)
    assert failed.state == "FAILURE"


def test_rejected(shop: Shop) -> None:
    result = shop.m.rejects.delay()
    with pytest.raises(Reject):
        result.get(timeout=10)
    shop.heard(result.id, "rejected")
    shop.heard(shop.m.rejects_too_late.delay().id, "acknowledged already")


def test_given_back_to_the_queue(shop: Shop) -> None:
    result = shop.m.requeues.delay()
    assert result.get(timeout=10) == "now"
    shop.heard(result.id, "delivered again: False", "delivered again: True")


@prefork
def test_children_that_are_killed(shop: Shop) -> None:
    dying = [shop.m.dies.delay(int(how)) for how in (signal.SIGKILL, signal.SIGTERM)]
    again, tried = shop.m.dies_once.delay(), shop.m.tried_again.delay()
    quietly = shop.m.tried_again.apply_async(ignore_result=True)
    for result in dying:
        with pytest.raises(WorkerLostError, match="Worker exited prematurely"):
            result.get(timeout=20)
        shop.heard(result.id, "dying")
    assert (again.get(timeout=20), tried.get(timeout=20)) == ("second life", "second try")
    shop.heard(again.id, "run", "run")
    shop.heard(tried.id, "try 0", "try 1")
    shop.heard(quietly.id, "try 0", "try 1")


@prefork
def test_time_limits(shop: Shop) -> None:
    soft = shop.m.too_slow.apply_async(soft_time_limit=0.3)
    obeys = shop.m.too_slow.apply_async((True,), soft_time_limit=0.3)
    with pytest.raises(Exception, match="SoftTimeLimitExceeded"):
        soft.get(timeout=10)
    assert obeys.get(timeout=10) == "cleaned up"
    hard = shop.m.too_slow.apply_async(time_limit=0.3)
    in_time = shop.m.too_slow.apply_async(soft_time_limit=5, time_limit=6)
    shop.go(in_time.id)
    with pytest.raises(TimeLimitExceeded):
        hard.get(timeout=10)
    assert hard.state == "FAILURE"
    assert in_time.get(timeout=10) == "in time"
    for slow in (soft, obeys):
        shop.heard(slow.id, "begun", "soft")
    shop.heard(hard.id, "begun")


@prefork
def test_a_time_limit_that_gives_the_message_back(shop: Shop) -> None:
    result = shop.m.slow_at_first.delay()
    shop.heard(result.id, "run", "run")
    eventually(lambda: shop.app.AsyncResult(result.id).state == "SUCCESS")

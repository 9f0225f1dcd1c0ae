"""Retries, and the hooks and signals around a task: each called as often as in plain Celery, in the same order."""

from __future__ import annotations

import pytest
from celery.exceptions import MaxRetriesExceededError

from jobkit.testing import eventually
from tests.acceptance.existing.shop import Shop

BEGIN = ("prerun", "before_start", "call")


def retried(number: int) -> tuple[str, ...]:
    """What happens around a body that asks for another try."""
    return (*BEGIN, f"on_retry ConnectionError('try {number}')", "retry", "postrun")


def failed(exc: str) -> tuple[str, ...]:
    """What happens around a body that fails for good."""
    return (*BEGIN, f"on_failure {exc}", "failure", "after_return FAILURE", "postrun")


def succeeded(value: object) -> tuple[str, ...]:
    """What happens around a body that succeeds."""
    return (*BEGIN, f"on_success {value}", "success", "after_return SUCCESS", "postrun")


def test_hooks_and_signals_of_a_success(shop: Shop) -> None:
    result = shop.m.divide.delay(6, 3)
    assert result.get(timeout=10) == 2
    shop.heard(result.id, *succeeded(2.0))


def test_hooks_and_signals_of_a_failure(shop: Shop) -> None:
    result = shop.m.divide.delay(6, 0)
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        result.get(timeout=10)
    shop.heard(result.id, *failed("ZeroDivisionError('division by zero')"))


def test_hooks_and_signals_of_retries(shop: Shop) -> None:
    result = shop.m.flaky.delay(2)
    assert result.get(timeout=10) == "done after 2"
    assert (result.retries, result.state) == (2, "SUCCESS")
    shop.heard(result.id, *retried(0), *retried(1), *succeeded("done after 2"), in_order=False)


def test_the_last_retry_fails_with_the_exception_given(shop: Shop) -> None:
    result = shop.m.flaky.delay(9)
    with pytest.raises(ConnectionError, match="try 2"):
        result.get(timeout=10)
    shop.heard(result.id, *retried(0), *retried(1), *failed("ConnectionError('try 2')"), in_order=False)
    limited = shop.m.flaky.apply_async((9,), {"max_retries": 0})
    with pytest.raises(ConnectionError, match="try 0"):
        limited.get(timeout=10)
    shop.heard(limited.id, *failed("ConnectionError('try 0')"))


def test_the_last_retry_fails_without_an_exception_given(shop: Shop) -> None:
    with pytest.raises(MaxRetriesExceededError, match="Can't retry"):
        shop.m.never.delay().get(timeout=10)


def test_a_retry_that_is_not_raised(shop: Shop) -> None:
    result = shop.m.quietly.delay()
    assert result.get(timeout=10) == "done"
    shop.heard(result.id, "try 0", "try 1")


def test_a_retry_with_other_arguments(shop: Shop) -> None:
    assert shop.m.grows.delay(0).get(timeout=10) == 3
    assert shop.m.grows.delay(x=0, step=3).get(timeout=10) == 3


def test_automatic_retries(shop: Shop) -> None:
    good, bad, hopeless = shop.m.backs_off.delay(), shop.m.backs_off.delay(True), shop.m.gives_up.delay()
    eventually(lambda: good.state == "RETRY")
    assert isinstance(good.info, ConnectionError)
    assert "Retry in 2s: ConnectionError('not yet')" in good.traceback
    assert not good.ready()
    with pytest.raises(KeyError, match="not worth a retry"):
        hopeless.get(timeout=10)
    assert good.get(timeout=10) == "connected"
    with pytest.raises(ConnectionError, match="not yet"):
        bad.get(timeout=10)
    shop.heard(hopeless.id, "try 0")
    shop.heard(good.id, "try 0", "try 1")
    shop.heard(bad.id, "try 0", "try 1")


def test_a_retry_whose_result_is_ignored(shop: Shop) -> None:
    result = shop.m.flaky_whisper.delay()
    shop.heard(result.id, "try 0", "try 1")


def test_a_retry_keeps_its_place_in_the_canvas(shop: Shop) -> None:
    m = shop.m
    assert (m.flaky.s(1) | m.add.s("!")).delay().get(timeout=10) == "done after 1!"
    linked = m.flaky.apply_async((1,), link=m.noted.s("linked to a retry"))
    assert linked.get(timeout=10) == "done after 1"
    shop.heard("linked to a retry", "noted done after 1")
    assert m.chord([m.flaky.s(1), m.flaky.s(0)], m.identity.s()).delay().get(timeout=10) == [
        "done after 1",
        "done after 0",
    ]

"""`task_always_eager`, as test suites use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import chain, chord, group

from tests.acceptance.existing.shop import Shop


@pytest.fixture
def eager(shop: Shop) -> Iterator[Shop]:
    """The shop, all of whose tasks run here."""
    shop.app.conf.task_always_eager = True
    yield shop
    shop.app.conf.update(task_always_eager=False, task_eager_propagates=False, task_store_eager_result=False)


def test_eager_results(eager: Shop) -> None:
    m = eager.m
    result = m.add.delay(1, 2)
    assert (result.get(), result.state, result.successful(), result.ready()) == (3, "SUCCESS", True, True)
    assert m.describe.apply_async(task_id="here").get()["id"] == "here"
    assert m.describe.delay().get()["is_eager"]
    assert chain(m.add.s(1, 1), m.add.s(5))().get() == 7
    assert group(m.add.s(n, n) for n in range(3))().get() == [0, 2, 4]
    assert chord([m.add.s(1, 1), m.add.s(2, 2)])(m.total.s()).get() == 6
    assert m.add.apply((1, 2)).get() == 3
    assert m.flaky.delay(2).get() == "done after 2"


def test_eager_failures(eager: Shop) -> None:
    failed = eager.m.fail.delay("here")
    assert (failed.state, failed.failed()) == ("FAILURE", True)
    with pytest.raises(KeyError, match="here"):
        failed.get()
    with pytest.raises(ConnectionError, match="try 2"):
        eager.m.flaky.delay(9).get()
    eager.app.conf.task_eager_propagates = True
    with pytest.raises(KeyError, match="now"):
        eager.m.fail.delay("now")


def test_eager_results_that_are_stored(eager: Shop) -> None:
    eager.app.conf.task_store_eager_result = True
    stored, find = eager.m.stored, eager.app.AsyncResult
    good, bad, retried = stored.delay(), stored.delay(1, retries=False), stored.delay(1)
    assert (find(good.id).state, find(good.id).get(timeout=1)) == ("SUCCESS", "kept")
    assert find(bad.id).state == "FAILURE"
    assert isinstance(find(bad.id).get(timeout=1, propagate=False), ConnectionError)
    assert (find(retried.id).state, find(retried.id).get(timeout=1)) == ("SUCCESS", "kept")
    lost = stored.delay(9)
    with pytest.raises(ConnectionError, match="eager"):
        find(lost.id).get(timeout=1)

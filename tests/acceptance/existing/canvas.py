"""Chains, groups, chords, links and replacements."""

from __future__ import annotations

from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError, TaskRevokedError
from celery.result import GroupResult

from jobkit.testing import eventually
from tests.acceptance.existing.shop import Shop


def values(result: Any, **options: Any) -> Any:
    """What a group returned, once it is ready: Celery's own `get` of a group that is not pauses for half a second."""
    eventually(result.ready)
    return result.get(timeout=10, **options)


def test_chain(shop: Shop) -> None:
    add = shop.m.add
    result = chain(add.s(1, 1), add.s(10), add.si(5, 5), add.s(100))()
    assert result.get(timeout=10) == 110
    assert [node.get(timeout=10) for node in (result.parent, result.parent.parent)] == [10, 12]
    assert result.parent.parent.parent.children[0].id == result.parent.parent.id
    described = chain(add.s(1, 1), shop.m.describe.s())()
    found = described.get(timeout=10)
    assert (found["parent_id"], found["root_id"]) == (described.parent.id, described.parent.id)
    later = chain(add.s(1, 1), add.s(1).set(countdown=0.3)).apply_async(countdown=0.1)
    assert later.get(timeout=10) == 3


def test_a_chain_that_breaks(shop: Shop) -> None:
    result = chain(shop.m.add.s("broken ", "link"), shop.m.fail.s(), shop.m.add.s(1), shop.m.add.s(1))()
    with pytest.raises(KeyError, match="broken link"):
        result.get(timeout=10)
    eventually(lambda: [result.state, result.parent.state, result.parent.parent.state] == ["FAILURE"] * 3)
    assert result.parent.parent.parent.get(timeout=10) == "broken link"


def test_group(shop: Shop) -> None:
    result = group(shop.m.add.s(n, n) for n in range(10))()
    assert result.get(timeout=10) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert (result.ready(), result.successful(), result.failed(), result.waiting()) == (True, True, False, False)
    assert result.completed_count() == 10
    assert result.join(timeout=10) == result.join_native(timeout=10)
    assert sorted(value["result"] for _, value in result.iter_native()) == list(range(0, 20, 2))


def test_a_saved_group(shop: Shop) -> None:
    result = group(shop.m.add.s(n, 1) for n in range(3))()
    result.save()
    restored = GroupResult.restore(result.id, app=shop.app)
    assert values(restored) == [1, 2, 3]
    assert restored == result
    restored.delete()
    assert GroupResult.restore(result.id, app=shop.app) is None


def test_a_group_with_a_failure(shop: Shop) -> None:
    result = group(shop.m.add.s(1, 1), shop.m.fail.s(), shop.m.add.s(2, 2))()
    with pytest.raises(KeyError):
        values(result)
    first, second, third = values(result, propagate=False)
    assert (first, third) == (2, 4)
    assert isinstance(second, KeyError)
    assert (result.successful(), result.failed(), result.completed_count()) == (False, True, 2)


def test_chord(shop: Shop) -> None:
    add, total = shop.m.add, shop.m.total
    assert chord(add.s(n, n) for n in range(5))(total.s()).get(timeout=10) == 20
    assert chord([add.s(1, 1)])(total.s(extra=5)).get(timeout=10) == 7
    assert chord([])(total.s()).get(timeout=10) == 0
    assert chord([shop.m.whisper.s(), shop.m.whisper.s()])(add.si(1, 1)).get(timeout=10) == 2
    assert (group(add.s(1, 1), add.s(2, 2)) | total.s() | add.s(1)).delay().get(timeout=10) == 7


def test_a_chord_whose_header_fails(shop: Shop) -> None:
    m = shop.m
    body = m.total.s().on_error(m.errback.s("failing chord"))
    result = chord([m.add.s(1, 1), m.fail.s("in the header")])(body)
    with pytest.raises(ChordError, match="in the header"):
        result.get(timeout=10, follow_parents=False)
    assert result.state == "FAILURE"
    shop.heard("failing chord", "old errback")
    newer = chord([m.fail.s("once more"), m.add.s(1, 1)])(m.total.s().on_error(m.new_errback.s()))
    with pytest.raises(ChordError, match="once more"):
        newer.get(timeout=10, follow_parents=False)
    eventually(lambda: shop.notes(newer.id))
    assert shop.notes(newer.id)[0].startswith("new errback ChordError")
    grouped = chord([m.fail.s("for a group"), m.add.s(1, 1)])(group(m.total.s(), m.total.s()))
    with pytest.raises(KeyError, match="for a group"):
        values(grouped)


def test_canvas_in_canvas(shop: Shop) -> None:
    add, total = shop.m.add, shop.m.total
    pairs = [group(add.s(n, n), add.s(n, 10)) for n in range(2)]
    assert sorted(chord(pairs, shop.m.identity.s())().get(timeout=10)) == [0, 2, 10, 11]
    assert values(group(chain(add.s(1, 1), add.s(n)) for n in range(3))()) == [2, 3, 4]
    assert values(chain(add.s(1, 1), group(add.s(10), add.s(20)))()) == [12, 22]
    assert chain(add.s(1, 1), group(add.s(10), add.s(20)), total.s(), add.s(1))().get(timeout=10) == 35
    assert chain(chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(1))().get(timeout=10) == 7
    assert chord([chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(3, 3)], total.s())().get(timeout=10) == 12


def test_starmap_map_and_chunks(shop: Shop) -> None:
    m = shop.m
    assert m.add.starmap([(1, 1), (2, 2)]).delay().get(timeout=10) == [2, 4]
    assert m.total.map([[1, 2], [3, 4]]).delay().get(timeout=10) == [3, 7]
    assert values(m.add.chunks([(n, n) for n in range(5)], 2)()) == [[0, 2], [4, 6], [8]]


def test_link(shop: Shop) -> None:
    m = shop.m
    result = m.add.apply_async((1, 2), link=[m.noted.s("link 1"), m.noted.si("instead", "link 2")])
    assert result.get(timeout=10) == 3
    shop.heard("link 1", "noted 3")
    shop.heard("link 2", "noted instead")
    assert result.children[0].get(timeout=10) == [3, "instead"]
    failing = m.fail.apply_async(link=m.noted.s("never linked"))
    assert isinstance(failing.get(timeout=10, propagate=False), KeyError)
    shop.heard("never linked")


def test_link_error(shop: Shop) -> None:
    m = shop.m
    old = m.fail.apply_async(("old",), link_error=m.errback.s("old style"))
    new = m.fail.apply_async(("new",), link_error=[m.new_errback.s()])
    plain = m.fail.apply_async(("plain",), link_error=m.errback.s())
    for failing in (old, new, plain):
        with pytest.raises(KeyError):
            failing.get(timeout=10)
    shop.heard("old style", "old errback")
    shop.heard(new.id, "new errback KeyError('new')")
    shop.heard(plain.id, "old errback")
    good = m.add.apply_async((1, 1), link_error=m.errback.s("no error"))
    assert good.get(timeout=10) == 2
    shop.heard("no error")


def test_replaced(shop: Shop) -> None:
    becomes = shop.m.becomes
    assert becomes.delay("task").get(timeout=10) == 4
    assert becomes.delay("chain").get(timeout=10) == 12
    assert becomes.delay("group").get(timeout=10) == [0, 2, 4]
    assert becomes.delay("chord").get(timeout=10) == 6
    assert chain(becomes.si("task"), shop.m.add.s(1))().get(timeout=10) == 5
    assert chord([becomes.s("task"), becomes.s("chain")])(shop.m.total.s()).get(timeout=10) == 16


@pytest.mark.parametrize("what", ["chord", "chain"])
def test_what_a_task_was_replaced_by_is_waited_for(shop: Shop, what: str) -> None:
    result = shop.m.becomes.delay(f"held {what}")
    shop.heard(result.id, "begun")
    eventually(lambda: result.state != "STARTED")  # what a task is replaced by may begin before its own run is over
    for seen in (result, shop.app.AsyncResult(result.id)):
        assert (seen.ready(), seen.result) == (False, None)
    shop.go(result.id)
    assert result.get(timeout=10) == 3


@pytest.mark.parametrize("what", ["chord", "group", "chain"])
def test_what_a_task_was_replaced_by_fails_for_it(shop: Shop, what: str) -> None:
    result = shop.m.becomes.delay(f"bad {what}")
    with pytest.raises((ChordError, KeyError), match="header"):
        result.get(timeout=10)
    assert (result.state, shop.app.AsyncResult(result.id).state) == ("FAILURE", "FAILURE")


@pytest.mark.parametrize("what", ["bad chain nobody asks for", "chain that expires"])
def test_what_a_task_was_replaced_by_breaks_off(shop: Shop, what: str) -> None:
    result = shop.m.becomes.delay(what)
    if shop.jobs is None:
        return  # Celery never says so
    with pytest.raises((KeyError, TaskRevokedError), match=r"header|expired"):
        result.get(timeout=10)
    assert result.state == "FAILURE"


def test_a_task_that_waits_for_others(shop: Shop) -> None:
    if shop.pool == "solo":
        pytest.skip("a solo worker cannot wait for itself")
    assert shop.m.joins.delay().get(timeout=10) == 6


def test_stamps_travel(shop: Shop) -> None:
    sig = shop.m.add.s(1, 1)
    sig.stamp(customer="alice")
    result = sig.delay()
    assert result.get(timeout=10) == 2
    assert result._get_task_meta()["customer"] == ["alice"] or result._get_task_meta()["customer"] == "alice"

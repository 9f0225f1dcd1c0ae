"""Many jobs by one script: each as if `create` had recorded it, all of them or none, and none twice."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from jobkit.errors import StoreUnavailable
from jobkit.locks import Lock
from jobkit.states import Outcome
from jobkit.store import End, JobStore, Put, bulk
from jobkit.store.bulk import GAP, OWN, Entry, Row, Text
from jobkit.testing import eventually
from tests.store.proxy import proxied
from tests.store.test_failures import store_of
from tests.store.world import NOW, World, holder, plan

ALIKE: dict[str, dict[str, Any]] = {
    "plain": {},
    "owned and tagged": {"owner": "alice", "tags": ("a", "b")},
    "later": {"start": NOW + 99_000},
    "soon": {"start": "+5000"},
    "at once": {"start": NOW - 5},
    "suspended": {"suspended": True},
    "of a group": {"kin": "g"},
    "kept until they are read": {"keep": 7_000, "until_read": True},
    "with arguments": {"facts": {"queue": "celery", "args": "(1,)", "kwargs": "{'a': '%s'}"}},
}
OTHERS: dict[str, dict[str, Any]] = {
    "with a lock": {"locks": (Lock("a"),)},
    "on a host": {"host": "eu"},
    "behind another": {"after": "j0"},
    "of a canvas in a job": {"facts": {"parent": "j0"}},
}


#: A queue's key, and a message.
PUT = Put("q", 'a "message" of %s')


def entries(number: int = 3, put: Put = PUT, **options: Any) -> list[Entry]:
    return [Entry(plan(f"j{n}", **options), put, "client", "op") for n in range(number)]


def submit(world: World, given: list[Entry], op: str = "op") -> list[Any]:
    rows = [entry.alike() for entry in given]
    assert all(row and rows[0] and row[0] == rows[0][0] for row in rows)
    return bulk.submit(world.store, rows[0][0], [row[1] for row in rows if row], op)  # type: ignore[index]


@pytest.mark.parametrize("kind", ALIKE)
def test_each_is_as_create_would_have_recorded_it(world: World, url: str, kind: str) -> None:
    given = entries(**ALIKE[kind])
    single = [bulk.create(world.store, entry) for entry in given]
    expected = world.picture()
    world.client.flushdb()
    world.advance(0)
    verdicts = submit(world, given)
    assert [(one.code, one.state, one.run) for one in verdicts] == [(one.code, one.state, one.run) for one in single]
    assert same(world, expected)
    world.check()


def same(world: World, expected: Any) -> bool:
    """The same keys, the same values: the bytes of a hash tell in which order its fields were set."""
    found = world.picture()
    records = [world.keys.job(f"j{n}").encode() for n in range(3)]
    fields = [world.record(f"j{n}") for n in range(3)]
    for key in records:
        world.client.restore(key, 0, expected[key][0], replace=True)
    assert fields == [world.record(f"j{n}") for n in range(3)]
    rest = {key: value for key, value in found.items() if key not in records}
    return rest == {key: value for key, value in expected.items() if key not in records}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_needs_more_than_a_record_is_not_one_of_many(kind: str) -> None:
    assert entries(**OTHERS[kind])[0].alike() is None


def test_what_has_a_record_is_left_to_create(world: World) -> None:
    bulk.create(world.store, entries()[1])
    before = world.record("j1")
    verdicts = submit(world, entries(), op="another")
    assert [one and one.code for one in verdicts] == ["ok", None, "ok"]
    assert world.record("j1") == before
    assert world.client.llen("q") == 3


def test_an_id_that_comes_twice_is_recorded_once(world: World) -> None:
    first, second, _ = entries()
    verdicts = submit(world, [first, second, first])
    assert [one and one.code for one in verdicts] == ["ok", "ok", None]
    assert world.client.llen("q") == 2


def test_texts_are_made_by_redis_as_they_are_here(world: World) -> None:
    given = entries(1)[0].alike()
    assert given
    wire = Text(f'{{"100%s": "{GAP}", "id": "{GAP} {GAP}"}}', (1, 0, 0))
    texts = (wire, Text(f"kept {GAP}", (2,)), Text(GAP, (3,)), Text("", ()))
    rows = [Row("j0", ("a%sb", "ü\\n", "")), Row("j1", ("", "x" * 5_000, "args"))]
    bulk.submit(world.store, given[0]._replace(texts=texts), rows, "op")
    assert [text.decode() for text in world.client.lrange("q", 0, -1)] == [texts[0].of(row) for row in rows[::-1]]
    for row in rows:
        made = zip(OWN, (text.of(row) for text in texts[1:]), strict=True)
        assert {name: world.record(row.id).get(name) for name in OWN} == {name: text or None for name, text in made}


def test_one_that_redis_does_not_answer_is_sent_again(world: World, url: str) -> None:
    given = entries(4, locks=(Lock("a", shared=True),))
    with proxied(url) as (proxy, client):
        proxy.errors = [b"-LOADING the data set"]
        verdicts = bulk.create_all(store_of(client), given)
    assert [one.code for one in verdicts] == ["ok"] * 4
    assert world.client.llen("q") == 4
    assert [world.states(f"j{n}") for n in range(4)] == [["QUEUED"]] * 4


def test_where_redis_is_gone_that_is_said(world: World, url: str) -> None:
    with proxied(url) as (_, client):
        store = store_of(client)
    with pytest.raises(StoreUnavailable):
        bulk.create_all(store, entries(2, locks=(Lock("a"),)))


def test_abort_ends_what_has_not_started_orders_what_runs_and_lets_be_what_has_ended(world: World) -> None:
    for name in ("waits", "runs", "over"):
        world.submit(name)
    for name in ("runs", "over"):
        world.claim(name)
    world.store.finish("over", holder(), End(("finish",), Outcome.SUCCEEDED))
    ids = ["waits", "runs", "over", "unknown"]
    found = bulk.abort(world.store, ids, "me", "why", None)
    assert [one.state for one in found] == ["REMOVING", "CANCELLING_BY_USER", "FINISHED", ""]
    assert [one.code for one in found] == ["ok", "ok", "refused", "missing"]
    again = bulk.abort(world.store, ids, "me", "why", None)
    assert [one.state for one in again] == [one.state for one in found]
    world.check()


@pytest.mark.parametrize("fault", ["none", "its script is lost", "its connection is cut", "it is not wanted"])
def test_what_is_answered_later_is_applied_once(world: World, url: str, fault: str) -> None:
    rows = [entry.alike() for entry in entries()]
    with Redis.from_url(url) as client:
        store = JobStore(client, world.keys.namespace, test_clock=True)
        if fault == "its script is lost":
            world.client.script_flush()
        flight = bulk.Flight(store, rows[0][0], [row[1] for row in rows if row], "op")  # type: ignore[index]
        if fault == "its connection is cut":
            eventually(lambda: world.client.llen("q") == 3)
            world.client.client_kill_filter(_type="normal", skipme=True)
        if fault == "it is not wanted":
            flight.close()
        else:
            assert [one and one.code in ("ok", "again") for one in flight.answer()] == [True] * 3
            assert world.client.llen("q") == 3
            assert [world.states(f"j{n}") for n in range(3)] == [["QUEUED"]] * 3
        flight.close()
        assert client.ping()

"""What `doctor` finds, each thing broken on purpose on a Redis of its own; and what `memory` counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis

from jobkit.definitions import Definition
from jobkit.embedded import EmbeddedRedis
from jobkit.errors import StoreUnavailable, UnsafeStore
from jobkit.locks import Lock
from jobkit.model import Finding
from jobkit.states import State
from jobkit.store import JobStore, blocks, definitions, families, health, workers
from jobkit.store.definitions import Change
from jobkit.store.footprint import footprint, per_ended_job
from jobkit.store.orphans import orphans
from jobkit.store.rights import commands
from tests.store.test_retention import DONE, end
from tests.store.world import NOW, WORKER, World, holder, plan


def level(store: JobStore, what: str) -> str:
    return of(store, what).level


def of(store: JobStore, what: str) -> Finding:
    [found] = [one for one in health.examine(store) if one.what == what]
    assert found.level == "ok" or found.do, f"nothing says what to do about {found}"
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(appendonly=True) as server:
        yield server


@contextmanager
def configured(client: Any, **options: str) -> Iterator[None]:
    """Options of the server, put back afterwards."""
    before = {name: client.config_get(name)[name] for name in options}
    for name, value in options.items():
        client.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            client.config_set(name, value)


@pytest.fixture
def store(server: EmbeddedRedis) -> Iterator[JobStore]:
    with Redis.from_url(server.fresh_url()) as client:
        yield JobStore(client, "shop", url="redis://test")


def test_a_redis_that_is_right_has_no_finding(store: JobStore) -> None:
    with configured(store.client, **{"hash-max-ziplist-value": "4096"}):
        assert {(one.level, one.do) for one in health.examine(store)} == {("ok", "")}
    assert list(health.at_start(store)) == []


POLICIES = [
    ("noeviction", "100mb", "ok"),
    ("volatile-lru", "100mb", "ok"),
    ("volatile-ttl", "100mb", "warning"),
    ("allkeys-lru", "100mb", "error"),
    ("allkeys-random", "100mb", "error"),
    ("allkeys-lru", "0", "warning"),
]


@pytest.mark.parametrize(("policy", "most", "expected"), POLICIES)
def test_eviction(store: JobStore, policy: str, most: str, expected: str) -> None:
    with configured(store.client, **{"maxmemory-policy": policy, "maxmemory": most}):
        assert level(store, "eviction") == expected
        if expected == "error":
            with pytest.raises(UnsafeStore, match=rf"may take live jobs .*{policy}"):
                list(health.at_start(store))
        else:
            assert [one.level for one in health.at_start(store)] == ([] if expected == "ok" else [expected])


def test_records_that_redis_could_pack_are_said_and_no_warning(store: JobStore) -> None:
    with configured(store.client, **{"hash-max-ziplist-value": "64"}):
        found = of(store, "packing")
    assert (found.level, found.found) == ("ok", "hash-max-listpack-value 64")
    assert "CONFIG SET hash-max-listpack-value 4096" in found.do


def test_a_redis_that_is_nearly_full(store: JobStore) -> None:
    used = store.memory()[0]
    with configured(store.client, maxmemory=str(used + 50_000)):
        assert level(store, "memory") == "warning"


def test_persistence(store: JobStore) -> None:
    with configured(store.client, appendonly="no", save=""):
        assert level(store, "persistence") == "error"
        assert [one.what for one in health.at_start(store)] == ["persistence"]
        with configured(store.client, save="60 1000"):
            assert level(store, "persistence") == "warning"


def test_another_schema(store: JobStore) -> None:
    store.client.hset(store.keys.key("about"), "schema", 99)
    assert level(store, "schema") == "error"


def test_a_replica(store: JobStore) -> None:
    store.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        assert level(store, "role") == "error"
    finally:
        store.client.execute_command("REPLICAOF", "NO", "ONE")


def test_missing_rights_are_named_with_the_command_that_gives_them(server: EmbeddedRedis, store: JobStore) -> None:
    admin: Any = store.client
    admin.execute_command("ACL", "SETUSER", "bob", "reset", "on", ">pw", "~*", "&*", "+@all", "-zadd", "-publish")
    with Redis(port=server.port, username="bob", password="pw") as client:
        found = of(JobStore(client, "shop"), "rights")
        assert (found.level, found.do) == ("error", "ACL SETUSER bob +publish +zadd")
        admin.execute_command("ACL", "SETUSER", "bob", "+zadd", "+publish")
        assert level(JobStore(client, "shop"), "rights") == "ok"
        admin.execute_command("ACL", "SETUSER", "bob", "resetkeys", "~other*")
        assert level(JobStore(client, "shop"), "rights") == "error"
        admin.execute_command("ACL", "SETUSER", "bob", "-acl", "~*")
        assert "cannot be asked" in of(JobStore(client, "shop"), "rights").found


def test_every_command_of_the_scripts_is_known() -> None:
    assert {"ZADD", "HSET", "PUBLISH", "MEMORY", "TIME"} <= set(commands())


def test_jobs_without_a_worker(world: World) -> None:
    world.submit()
    assert level(world.store, "workers") == "warning"


def test_a_redis_that_is_down() -> None:
    with EmbeddedRedis() as gone:
        client = Redis.from_url(gone.url)
    with pytest.raises(StoreUnavailable):
        health.examine(JobStore(client, "shop", patience=0))


# -- orphans -------------------------------------------------------------------------------------------------------


def everything(world: World) -> None:
    """Jobs in every state, some read, pinned, of a family, with an owner and tags."""
    for state in State:
        if state.category.value != "restarted":
            world.put(state, f"put-{state}")
    for n in range(3):
        end(world, f"e{n}", owner="alice", tags=("red", "blue"))
    world.store.read("e0")
    world.store.pin("me", 60, ["e1"])
    for n in range(2):
        world.submit(f"g{n}", kin="group")
        world.claim(f"g{n}")
    world.store.finish("g0", holder(), DONE)
    workers.beat(world.store, WORKER, 60)
    for n in range(2):
        world.submit(f"l{n}", locks=(Lock("tape"),))
    blocks.block(world.store, "host", "eu", "offline", "", None, "operator")
    world.submit("b", host="eu")
    one = Definition("daily", "shop.pack", schedules=(60,), backup_every=30)  # type: ignore[arg-type]
    definitions.define(world.store, [Change(one, NOW, NOW, 30_000)], "client", "op", 60.0)
    world.submit("parent")
    world.claim("parent")
    families.keep(world.store, "parent", holder(), "rollback", plan("undo"))
    world.submit("child", up="parent", upon="fail", fence="1 tok1", facts={"parent": "parent"})


def test_what_fits_is_no_orphan(world: World) -> None:
    everything(world)
    looked, found = orphans(world.store)
    assert (looked, found) == (len(world.client.keys(world.keys.job("*"))), {})
    assert level(world.store, "orphans") == "ok"


BREAKAGES = {
    "entries of state indexes without a record": lambda w: w.client.delete(w.keys.job("put-QUEUED")),
    "entries of owner indexes without a record": lambda w: w.client.delete(w.keys.job("e2")),
    "records in no index of their state": lambda w: w.client.zrem(w.keys.state(State.QUEUED), "put-QUEUED"),
    "live jobs that expire": lambda w: w.client.expire(w.keys.job("put-RUNNING"), 1000),
    "ended jobs that never go": lambda w: w.client.zrem(w.keys.key("ended", "alice"), "e2"),
    "holders of locks without a record": lambda w: w.client.hset(w.keys.key("lock", "tape"), "nobody", 1),
    "waiters for locks without a record": lambda w: w.client.zadd(w.keys.key("waiters", "tape"), {"xnobody": 1}),
    "locks in no list": lambda w: w.client.srem(w.keys.key("locks"), "tape"),
    "locks nobody holds or waits for": lambda w: w.client.sadd(w.keys.key("locks"), "disk"),
    "definitions in no list": lambda w: w.client.zrem(w.keys.key("definitions"), "daily"),
    "entries of definitions without a definition": lambda w: w.client.delete(w.keys.key("definition", "daily")),
    "entries of ticks without a definition": lambda w: w.client.zadd(w.keys.key("ticks"), {"gone~backup": 1}),
    "entries of expiring without a definition": lambda w: w.client.zadd(w.keys.key("expiring"), {"gone": 1}),
    "children without a record, of no parent": lambda w: w.client.zadd(w.keys.key("children", "gone"), {"nobody": 1}),
    "compensations of jobs without a record": lambda w: w.client.delete(w.keys.job("parent")),
    "pins of jobs without a record": lambda w: w.client.zadd(w.keys.key("pins", "gone"), {"me": 1}),
    "pinned jobs without a record": lambda w: w.client.zadd(w.keys.key("pinned"), {"gone": 1}),
    "families that never end": lambda w: w.client.hset(w.keys.key("family", "group"), "live", 0),
    "members of no family": lambda w: w.client.delete(w.keys.key("family", "group")),
    "jobs held back by no block": lambda w: w.client.hdel(w.keys.key("blocks"), "host eu"),
    "jobs held back without a record": lambda w: w.client.delete(w.keys.job("b")),
    "runs of unknown workers": lambda w: w.client.zrem(w.keys.key("workers"), WORKER),
    "keys of no kind": lambda w: w.client.set(w.keys.base + "stray", 1),
}


@pytest.mark.parametrize("what", BREAKAGES)
def test_what_does_not_fit_is_found(world: World, what: str) -> None:
    everything(world)
    BREAKAGES[what](world)
    assert what in orphans(world.store)[1]
    assert {one.level for one in health.examine(world.store) if one.what == "orphans"} == {"error"}


def test_an_orphan_of_ours_is_not_one_of_another_namespace(world: World) -> None:
    other = World(world.client, "other")
    other.client.set(other.keys.base + "stray", 1)
    assert orphans(world.store)[1] == {}
    assert orphans(other.store)[1] == {"keys of no kind": ["{other}:stray"]}


# -- memory --------------------------------------------------------------------------------------------------------


def test_every_byte_is_counted(world: World) -> None:
    everything(world)
    found = footprint(world.store)
    keys = world.client.keys("*")
    assert sum(one.keys for one in found) == len(keys)
    assert sum(one.bytes for one in found) == sum(world.client.memory_usage(key, samples=0) for key in keys)
    by = {(one.about, one.kind): one for one in found}
    assert by["ended jobs", "job"].keys == 4 + sum(state.category.value == "ended" for state in State)
    assert by["indexes", "owner"].entries == 3
    assert by["held back", "pinned"].entries == 1
    abouts = "live jobs,ended jobs,indexes,held back,workers,jobs gone,locks,blocks,definitions,families,other"
    assert {one.about for one in found} <= set(abouts.split(","))


def test_an_ended_job_takes_its_record_and_its_part_of_the_indexes(world: World) -> None:
    assert per_ended_job(footprint(world.store)) is None
    for n in range(200):
        end(world, f"job-{n:04}")
    each = per_ended_job(footprint(world.store))
    assert each is not None
    record = world.client.memory_usage(world.keys.job("job-0001"), samples=0)
    assert record < each < record + 400

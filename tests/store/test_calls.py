"""A script is called on a connection of redis-py, past what its commands of any kind need besides."""

from __future__ import annotations

import multiprocessing
import signal
from typing import Any

import pytest
from redis import Redis

from jobkit.store import JobStore, Plan
from tests.store.world import World


def test_who_traces_commands_sees_scripts_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, plain = list[Any](), Redis.execute_command

    def traced(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(args[0])
        return plain(self, *args, **options)

    monkeypatch.setattr(Redis, "execute_command", traced)
    world.submit()
    assert "EVALSHA" in seen


def test_a_connection_that_redis_has_closed_is_opened_again_without_a_pause(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.submit()
    world.store.client.client_kill_filter(_type="normal", skipme=False)
    monkeypatch.setattr("redis.retry.sleep", lambda seconds: pytest.fail("it waits"))
    world.claim()
    assert world.states()[-1] == "RUNNING"


def test_the_connection_of_one_call_is_that_of_the_next(url: str, client: Redis) -> None:
    def opened() -> int:
        return int(client.info("stats")["total_connections_received"])

    with Redis.from_url(url) as own:
        store = JobStore(own)
        store.create(Plan("one", "t", "m"), "client")
        store.read("one", "state")
        before, own.connection_pool.get_connection = opened(), pytest.fail
        for _ in range(5):
            store.read("one", "state")
        assert opened() == before


def test_many_stores_on_one_client_keep_no_more_than_one(url: str) -> None:
    with Redis.from_url(url, max_connections=4) as own:
        stores = [JobStore(own, f"shop{number}") for number in range(6)]
        for store in stores:
            store.create(Plan("one", "t", "m"), "client")
        assert own.ping()


def test_a_call_that_was_cut_off_leaves_no_answer_to_the_next(url: str, client: Redis) -> None:
    class TimeOver(Exception):
        pass

    def over(*_: Any) -> None:
        raise TimeOver

    with Redis.from_url(url) as own:
        store = JobStore(own)
        store.create(Plan("one", "t", "m"), "client")
        before = signal.signal(signal.SIGALRM, over)
        try:
            client.client_pause(4000, all=True)
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(TimeOver):
                store.read("one", "state", "task")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert store.read("one", "task") == [b"t"]


def test_a_child_has_connections_of_its_own(url: str) -> None:
    with Redis.from_url(url) as own:
        store = JobStore(own)
        store.create(Plan("one", "t", "m"), "client")
        child = multiprocessing.get_context("fork").Process(target=store.create, args=(Plan("two", "u", "m"), "child"))
        child.start()
        answers = [store.read("one", "task") for _ in range(200)]
        child.join()
        assert child.exitcode == 0
        assert answers == [[b"t"]] * 200
        assert store.read("two", "task") == [b"u"]

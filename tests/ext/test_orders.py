"""Orders for running jobs arrive, also where the answer that brought one was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import ConnectionPool, Redis

from jobkit.ext import orders
from jobkit.ext.orders import Listener
from jobkit.states import State
from jobkit.stopping import StopSwitch
from jobkit.store import JobStore
from jobkit.testing import eventually
from tests.store.proxy import proxied
from tests.store.world import WORKER, World

Heard = list[tuple[str, int, float, bool]]


@contextmanager
def listening(store: JobStore) -> Iterator[Heard]:
    """A listener; what it heard."""
    heard: Heard = []
    listener = Listener(store, WORKER, lambda *order: heard.append(order))
    listener.start()
    try:
        yield heard
    finally:
        listener.stop()
        listener.join()


@pytest.mark.parametrize("lost", [False, True])
def test_an_order_whose_answer_was_lost_is_heard_all_the_same(jobkit_store_url: str, lost: bool) -> None:
    with proxied(jobkit_store_url) as (proxy, _), Redis.from_url(jobkit_store_url) as direct:
        client = Redis(connection_pool=ConnectionPool.from_url(proxy.url))  # as jobkit's own: it tries nothing again
        world, before = World(direct), orders.number()
        proxy.of, proxy.lose = b"BLPOP", int(lost)
        for job_id in ("j", "other"):
            world.submit(job_id)
            world.claim(job_id)
        with listening(JobStore(client, "shop", patience=3.0, test_clock=True)) as heard:
            world.store.ask("j", "cancel", "client", grace=None if lost else 7.0)
            eventually(lambda: heard)
        assert heard == [("j", 1, 60.0 if lost else 7.0, lost)]
        assert orders.number() > before  # every body looks


def test_what_was_ordered_after_a_run_was_claimed_is_looked_at() -> None:
    asked: list[State] = []

    def look() -> State:
        asked.append(State.ABORTED)
        return State.ABORTED

    seen = orders.number()
    assert not StopSwitch(orders.number, look, seen=seen).is_lost()
    orders.announce()
    assert not StopSwitch(orders.number, look).is_lost()
    assert asked == []
    switch = StopSwitch(orders.number, look, seen=seen)
    assert switch.is_lost()
    assert switch()
    assert StopSwitch(orders.number, look, lambda: True).is_lost()
    assert not StopSwitch(orders.number, lambda: State.CANCELLING_BY_USER, seen=seen).is_lost()

"""What a worker has reserved and not begun: nobody waits for it, whatever becomes of the worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jobkit import State
from jobkit.testing import WorkerProcess, eventually
from tests import brokers

Start = Callable[..., WorkerProcess]
PREFETCH = {"JOBKIT_TEST_PREFETCH": "4"}


def held(lifecycle: ModuleType) -> int:
    """How many jobs all workers together run or have reserved."""
    store = lifecycle.jobs.store
    return sum(store.client.scard(key) for key in store.client.keys(store.keys.key("held", "*")))


def holds(lifecycle: ModuleType, number: int) -> bool:
    """Are so many jobs run or reserved?  Elsewhere it is for the broker to know."""
    return brokers.kind() != "redis" or held(lifecycle) == number


def waiting(lifecycle: ModuleType) -> int:
    return brokers.length(lifecycle.app)


def targets(handle: Any) -> list[State]:
    return [step.target for step in handle.history()]


def full_worker(lifecycle: ModuleType, start_worker: Start) -> tuple[WorkerProcess, list[Any], list[Any]]:
    """A worker at work that has reserved as many as it may: those it runs, and the others."""
    worker = start_worker(concurrency=2, env=PREFETCH)
    at_work = [lifecycle.may_run_twice.delay(60) for _ in range(2)]
    eventually(lambda: all(one.job.state is State.RUNNING for one in at_work))
    others = [lifecycle.add.delay(n, 1) for n in range(20)]
    eventually(lambda: waiting(lifecycle) == 20 + 2 - 8, message=lambda: f"{waiting(lifecycle)} are in the queue")
    eventually(lambda: holds(lifecycle, 8))
    return worker, at_work, others


def test_of_a_killed_worker_others_run_it_once_and_soon(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    worker, at_work, others = full_worker(lifecycle, start_worker)
    start_worker(concurrency=2)
    worker.kill()
    assert [one.get(timeout=30) for one in others] == [n + 1 for n in range(20)]
    assert [one.get(timeout=30) for one in at_work] == [2, 2]
    assert all(targets(one) == [State.QUEUED, State.RUNNING, State.FINISHED] for one in others)
    assert all(notes.read_text().count(f"body {one.id}") == 1 for one in others)
    eventually(lambda: held(lifecycle) == 0)


def test_a_worker_that_goes_down_gives_it_back(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    worker = start_worker(concurrency=1, env=PREFETCH)
    at_work = lifecycle.hangs.delay(6)
    eventually(lambda: at_work.job.state is State.RUNNING)
    others = [lifecycle.add.delay(n, 1) for n in range(6)]
    eventually(lambda: waiting(lifecycle) == 2, message=lambda: f"{waiting(lifecycle)} are in the queue")
    assert worker.stop() == 0
    assert waiting(lifecycle) == 6
    assert holds(lifecycle, 0)
    start_worker(concurrency=1)
    assert [one.get(timeout=20) for one in others] == [n + 1 for n in range(6)]
    assert all(notes.read_text().count(f"body {one.id}") == 1 for one in others)


@brokers.only("redis", why="what is reserved goes back when the worker has ended")
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_others_need_not_wait_until_a_worker_that_goes_down_is_gone(
    lifecycle: ModuleType, start_worker: Start, notes: Path, pool: str
) -> None:
    leaving = start_worker(pool=pool, concurrency=1, env={**PREFETCH, "JOBKIT_TEST_LEASE": "60"})
    at_work = lifecycle.hangs.delay(60)
    eventually(lambda: at_work.job.state is State.RUNNING)
    others = [lifecycle.add.delay(n, 1) for n in range(6)]
    eventually(lambda: waiting(lifecycle) == 2 and holds(lifecycle, 5))
    os.kill(leaving.pid, signal.SIGTERM)
    eventually(lambda: (waiting(lifecycle), held(lifecycle)) == (6, 1))
    start_worker(concurrency=1)
    assert [one.get(timeout=20) for one in others] == [n + 1 for n in range(6)]
    begun = [line.split()[1] for line in notes.read_text().splitlines() if line.startswith("body")]
    assert begun == [at_work.id, *(one.id for one in others)], "each once, in order"
    assert leaving.alive
    assert at_work.job.is_live


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_no_more_is_reserved_than_may_be(lifecycle: ModuleType, start_worker: Start, pool: str) -> None:
    handles = [lifecycle.hangs.delay(1.0) for _ in range(4)]
    start_worker(pool=pool, concurrency=1, env={"JOBKIT_TEST_NO_PREFETCH": "1"} if pool == "prefork" else {})
    eventually(lambda: handles[0].job.state is State.RUNNING)
    # In this order: one that is reserved in between must not be counted twice.
    seen = {held(lifecycle) + waiting(lifecycle) for _ in range(20)}
    assert max(seen) <= 4
    assert held(lifecycle) <= 2, "one at work and one reserved, with late acknowledgement only the first"
    for handle in handles:
        handle.get(timeout=20)
    eventually(lambda: held(lifecycle) == 0)


def test_while_a_consumer_is_paused_its_queue_grows(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker(concurrency=1)
    assert lifecycle.add.delay(1, 1).get(timeout=20) == 2
    lifecycle.app.control.cancel_consumer("celery", reply=True, timeout=5)
    handles = [lifecycle.add.delay(n, 1) for n in range(3)]
    eventually(lambda: waiting(lifecycle) == 3)
    assert held(lifecycle) == 0
    lifecycle.app.control.add_consumer("celery", reply=True, timeout=5)
    assert [one.get(timeout=20) for one in handles] == [1, 2, 3]


def test_what_is_taken_while_redis_forgets_its_scripts_is_not_lost(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker(concurrency=1)
    for n in range(3):
        assert lifecycle.add.delay(n, 1).get(timeout=20) == n + 1
        lifecycle.jobs.store.client.script_flush()

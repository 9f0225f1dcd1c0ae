"""Redis is full, away or silent: workers go on, report late, lose nothing, and give up what may be another's by now."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import psutil
import pytest
from redis import Redis

from jobkit import JobExpired, Outcome, State, StoreRefused
from jobkit.embedded import EmbeddedRedis
from jobkit.testing import WorkerProcess, eventually
from tests import brokers
from tests.acceptance.full import fill

Start = Callable[..., WorkerProcess]
S = State


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    """A Redis of this test's own."""
    with EmbeddedRedis(appendonly=True) as server:
        yield server


@pytest.fixture
def jobkit_store_url(server: EmbeddedRedis) -> str:
    return server.url


@contextmanager
def full(server: EmbeddedRedis) -> Iterator[None]:
    with Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            client.config_set("maxmemory", 0)


def running(*handles: Any) -> None:
    eventually(lambda: all(handle.job.state is S.RUNNING for handle in handles))


def came_of(handle: Any) -> Outcome | None:
    """How it ended; where Redis is full, those that have ended go soon, and are known for it."""
    try:
        return cast(Outcome | None, handle.job.outcome)
    except JobExpired as gone:
        return cast(Outcome, gone.outcome)


def states(handle: Any) -> list[State]:
    return [step.target for step in handle.history()]


def misses_it(worker: WorkerProcess) -> None:
    """Return once the worker has noticed that Redis is away: as its broker, or as what its lease is in."""
    said = "keeper: heartbeat failed" if brokers.kind() == "rabbitmq" else "Cannot connect to"
    eventually(lambda: said in worker.log, 20)


def succeeded(*handles: Any) -> None:
    for handle in handles:
        assert eventually(lambda handle=handle: came_of(handle), 30) is Outcome.SUCCEEDED  # type: ignore[misc]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_while_redis_is_full_jobs_end_submits_are_refused_and_the_worker_lives(
    pool: str, server: EmbeddedRedis, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    worker = start_worker(pool=pool)
    first = [lifecycle.hangs.delay(4) for _ in range(2)]
    running(*first)
    waiting = [lifecycle.add.delay(n, 1) for n in range(4)]
    with full(server):
        with pytest.raises(StoreRefused, match="maxmemory"):
            lifecycle.add.delay(1, 1)
        # What was accepted before it was full is run: what that takes is less than what it gives back.
        if brokers.kind() != "kombu":  # whose worker needs room for each message it takes
            succeeded(*first, *waiting)
    succeeded(*first, *waiting)
    assert lifecycle.add.delay(2, 2).get(timeout=20) == 4
    assert worker.alive
    ran = [line.split()[1] for line in notes.read_text().splitlines() if line.startswith("body")]
    assert len(ran) == len(set(ran))


def test_while_redis_is_full_pages_are_shown_and_afterwards_all_is_well(tmp_path: Path) -> None:
    report = fill(tmp_path, at_work=10, queued=40, seconds=4, watched=0.5)
    print(report)
    assert (report.ended, report.page, report.lost) == (10, 200, 0)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_what_ends_while_redis_is_away_is_reported_late(
    pool: str, server: EmbeddedRedis, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    worker = start_worker(pool=pool)
    handle, looking = lifecycle.hangs.delay(4), lifecycle.looks.delay(4)
    ids = (handle.id, looking.id)
    running(handle, looking)
    server.kill()
    eventually(lambda: f"survived {handle.id}" in notes.read_text())
    eventually(lambda: all(f"the end of job {id} cannot be recorded now, trying on" in worker.log for id in ids))
    eventually(lambda: "keeper: heartbeat failed" in worker.log)
    server.restart()
    assert (handle.get(timeout=20), looking.get(timeout=20)) == ("done", "done")
    assert states(handle) == states(looking) == [S.QUEUED, S.RUNNING, S.FINISHED]
    # Who waits for the end may hear of it before the worker says so.
    eventually(lambda: all(f"the end of job {id} is recorded at last" in worker.log for id in ids))
    assert lifecycle.add.delay(2, 2).get(timeout=30) == 4


def test_a_body_that_looks_gives_up_what_may_be_anothers_by_now(
    server: EmbeddedRedis, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    start_worker()
    handle = lifecycle.lingers.delay()
    running(handle)
    # Nothing comes back, not even a refusal: for all the worker knows, Redis serves others.
    os.kill(server.pid, signal.SIGSTOP)
    try:
        eventually(lambda: f"left {handle.id} 1 ABORTED" in notes.read_text())
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert handle.get(timeout=30) == 2
    assert [run.state for run in lifecycle.jobs.runs(handle.id)] == [S.ABORTED_RESTART, S.FINISHED]


def test_what_was_reserved_when_redis_went_away_runs_once(
    server: EmbeddedRedis, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    worker = start_worker(concurrency=1, env={"JOBKIT_TEST_PREFETCH": "4"})
    at_work = lifecycle.hangs.delay(6)
    running(at_work)
    others = [lifecycle.add.delay(n, 1) for n in range(8)]
    eventually(lambda: brokers.length(lifecycle.app) == 4)
    server.kill()
    # Nothing waits for Redis where the messages of others wait: the worker goes on to look for it.
    misses_it(worker)
    assert brokers.kind() != "redis" or "is not back in its queue" in worker.log
    server.restart()
    assert at_work.get(timeout=30) == "done"
    assert [one.get(timeout=30) for one in others] == [n + 1 for n in range(8)]
    assert all(notes.read_text().count(f"body {one.id}") == 1 for one in (at_work, *others))


def test_a_worker_that_goes_while_redis_is_away_hears_its_processes_out(
    server: EmbeddedRedis, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    worker = start_worker(concurrency=1)
    (child,) = psutil.Process(worker.pid).children()
    child.suspend()
    handle = lifecycle.add.delay(1, 1)
    eventually(lambda: "received" in worker.log)
    server.kill()
    misses_it(worker)
    child.resume()
    os.kill(worker.pid, signal.SIGTERM)
    server.restart()
    eventually(lambda: not worker.alive, 20)  # a process nobody listens to waits for half a minute
    start_worker()  # the message may not have been on its way to the process yet
    assert handle.get(timeout=60) == 2

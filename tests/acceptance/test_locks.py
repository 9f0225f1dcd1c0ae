"""Locks with real workers: waiting costs no slot, and whatever becomes of the holder, the next one goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import Celery

from jobkit import JobUnknown, Lock, Rate, State
from jobkit.testing import WorkerProcess, eventually
from tests.brokers import beside

Start = Callable[..., WorkerProcess]


def submit(lifecycle: ModuleType, seconds: float, *locks: str | Lock, **options: Any) -> Any:
    return lifecycle.jobs.submit(lifecycle.guarded.s(seconds), locks=locks, **options)


def inside(notes: Path) -> list[tuple[str, str]]:
    """Who went in and out, in order."""
    return [(line.split()[0], line.split()[1]) for line in notes.read_text().splitlines()]


def test_one_after_the_other_in_order_and_others_are_not_held_up(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    handles = [submit(lifecycle, 0.1, "shelf") for _ in range(4)]
    assert [handle.job.state for handle in handles[1:]] == [State.WAITING_FOR_LOCK] * 3
    (lock,) = lifecycle.jobs.locks()
    assert (list(lock.holders), list(lock.waiters)) == ([handles[0].id], [handle.id for handle in handles[1:]])
    other = lifecycle.add.delay(1, 2)
    start_worker(concurrency=2)
    fences = [handle.get(timeout=20) for handle in handles]
    assert fences == sorted(set(fences))
    assert other.get(timeout=20) == 3
    assert [step for step in inside(notes) if step[1] != other.id] == [
        (what, handle.id) for handle in handles for what in ("in", "out")
    ]
    assert lifecycle.jobs.locks() == ()


def test_a_holder_that_is_killed_keeps_its_lock_for_its_next_run(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    doomed = start_worker(concurrency=2)
    first = submit(lifecycle, 60, "shelf")
    eventually(lambda: inside(notes))
    second = submit(lifecycle, 0, "shelf")
    start_worker(concurrency=2)
    doomed.kill()
    eventually(lambda: inside(notes)[1:] == [("in", first.id)], 20)
    assert second.job.state is State.WAITING_FOR_LOCK
    first.abort()
    assert second.get(timeout=20) > 1
    assert first.job.state is State.CANCELLED


def test_a_holder_that_is_lost_for_good_lets_the_next_one_go(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    doomed = start_worker(concurrency=2)
    first = lifecycle.jobs.submit(lifecycle.at_most_once.s(60), locks=["shelf"])
    eventually(lambda: notes.read_text().startswith("body"))
    second = submit(lifecycle, 0, "shelf")
    assert second.job.state is State.WAITING_FOR_LOCK
    start_worker(concurrency=2)
    doomed.kill()
    assert second.get(timeout=20)
    assert first.job.state is State.ABORTED


def test_the_policy_says_which_by_the_arguments(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    handles = [lifecycle.tidies.delay(shelf, 0.2) for shelf in ("a", "a", "b", "c")]
    states = [handle.job.state for handle in handles]
    # c waits for a hand: two work, and the third is for who came before.
    assert states == [State.QUEUED, State.WAITING_FOR_LOCK, State.QUEUED, State.WAITING_FOR_LOCK]
    assert [lock.name for lock in handles[0].job.locks] == ["a", "hands"]
    start_worker(concurrency=4)
    for handle in handles:
        handle.get(timeout=20)
    lines = [line.split() for line in notes.read_text().splitlines()]
    for n, (what, shelf, _) in enumerate(lines):
        busy = [one for seen, one, _ in lines[:n] if seen == "in"]
        for seen, one, _ in lines[:n]:
            if seen == "out":
                busy.remove(one)
        assert what == "out" or (len(busy) < 3 and shelf not in busy), lines


def test_a_client_that_does_not_know_the_policy_passes_no_lock(
    lifecycle: ModuleType, start_worker: Start, notes: Path, jobkit_store_url: str
) -> None:
    holder = lifecycle.tidies.delay("a", 0.5)
    with Celery("elsewhere", **beside(jobkit_store_url)) as elsewhere:
        sent = elsewhere.send_task("lifecycle_app.tidies", ("a", 0), task_id="from-elsewhere")
        start_worker(concurrency=4)
        holder.get(timeout=20)
        eventually(lambda: ended(lifecycle, sent.id), 20)
    lines = [line.split()[::2] for line in notes.read_text().splitlines()]
    assert lines == [["in", holder.id], ["out", holder.id], ["in", sent.id], ["out", sent.id]]


def ended(lifecycle: ModuleType, job_id: str) -> bool:
    try:
        return not lifecycle.jobs.get(job_id).is_live
    except JobUnknown:
        return False


def test_a_rate_is_kept_by_whoever_runs(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker(concurrency=4)
    handles = [submit(lifecycle, 0, Rate("mail", most=2, per=0.5)) for _ in range(5)]
    for handle in handles:
        handle.get(timeout=20)
    steps = [step for handle in handles for step in handle.history()]
    queued = sorted(step.at.timestamp() for step in steps if step.target is State.QUEUED)
    assert all(later - earlier >= 0.499 for earlier, later in zip(queued, queued[2:], strict=False))


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_every_pool(lifecycle: ModuleType, start_worker: Start, notes: Path, pool: str) -> None:
    handles = [submit(lifecycle, 0.02, "shelf") for _ in range(3)]
    start_worker(pool=pool)
    for handle in handles:
        handle.get(timeout=20)
    assert [what for what, _ in inside(notes)] == ["in", "out"] * 3


def test_the_locks_for_asyncio_and_on_the_command_line(lifecycle: ModuleType) -> None:
    import asyncio
    import json

    from click.testing import CliRunner

    from jobkit.cli.main import jobkit

    first, second = submit(lifecycle, 0, "shelf"), submit(lifecycle, 0, "shelf")
    assert asyncio.run(lifecycle.jobs.alocks()) == lifecycle.jobs.locks()
    call = CliRunner().invoke(jobkit, ["-A", "lifecycle_app", "locks", "-j"])
    assert json.loads(call.output) == [
        {"name": "shelf", "holders": {first.id: 1}, "waiters": [second.id], "shared": False}
    ]
    lines = CliRunner().invoke(jobkit, ["-A", "lifecycle_app", "locks", "shelf"]).output.splitlines()
    assert lines == [f"shelf\t{first.id}\t1\t{second.id}"]

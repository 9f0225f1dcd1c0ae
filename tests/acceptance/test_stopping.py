"""The stop ladder: a job is told, has its grace period, and is killed alone; a policy says whether it runs again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celery.exceptions import TaskRevokedError

from jobkit import IllegalTransition, Outcome, State
from jobkit.testing import WorkerProcess, eventually
from tests.processes import gone

Start = Callable[..., WorkerProcess]
S = State
POOLS = ["prefork", "threads", "solo", "gevent"]


def path(handle: Any) -> list[State]:
    return [step.target for step in handle.history()]


def running(*handles: Any) -> None:
    eventually(lambda: all(handle.job.state is S.RUNNING for handle in handles))


def ended(handle: Any, timeout: float = 15) -> Any:
    return eventually(lambda: not handle.job.is_live and handle.job, timeout, lambda: str(path(handle)))


@pytest.mark.parametrize("pool", POOLS)
def test_a_cancel_is_seen_by_a_body_that_looks(
    pool: str, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    start_worker(pool=pool)
    handle = lifecycle.looks.apply_async((60,), link=lifecycle.add.si(1, 1))
    running(handle)
    assert handle.abort("wrong file") is S.CANCELLING_BY_USER
    job = ended(handle)
    assert (job.state, job.outcome, job.message) == (S.CANCELLED, Outcome.STOPPED, "cancelled")
    assert path(handle) == [S.QUEUED, S.RUNNING, S.CANCELLING_BY_USER, S.CANCELLED]
    with pytest.raises(TaskRevokedError, match="cancelled"):
        handle.get(timeout=5)
    eventually(lambda: f"hook {handle.id} 1 CANCELLED STOPPED" in notes.read_text())
    # What was to follow its success does not.
    assert lifecycle.jobs.query(task=lifecycle.add.name).jobs == ()
    with pytest.raises(IllegalTransition):
        handle.abort()


def test_a_cancel_is_seen_that_comes_before_the_body_has_begun(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    doomed = start_worker()
    handle = lifecycle.looks_late.delay(60)
    eventually(lambda: f"body {handle.id} 1" in notes.read_text())
    start_worker()
    doomed.kill()
    eventually(lambda: f"hook {handle.id} 1" in notes.read_text(), 20)
    assert (handle.job.state, handle.job.run) == (S.RUNNING, 2)
    handle.abort()
    assert ended(handle).state is S.CANCELLED


def test_a_body_may_just_return_or_be_called(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    start_worker(pool="threads")
    handles = lifecycle.returns.delay(60), lifecycle.hears.delay(60)
    running(*handles)
    for handle in handles:
        handle.abort()
    assert ended(handles[0]).state is S.CANCELLED
    # This one was called, and never looked itself: it is done all the same.
    ended(handles[1])
    assert f"heard {handles[1].id} CANCELLING_BY_USER" in notes.read_text()


@pytest.mark.parametrize("pool", POOLS)
def test_a_body_that_does_not_look_is_killed_alone(
    pool: str, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    worker = start_worker(pool=pool)
    deaf = lifecycle.hangs.delay(60)
    running(deaf)
    if pool != "solo":
        neighbour = lifecycle.hangs.delay(3)
        running(neighbour)
    deaf.abort(grace=0.5)
    job = ended(deaf)
    assert (job.state, job.outcome) == (S.KILLED, Outcome.KILLED)
    assert "dangerous" in worker.log
    assert lifecycle.add.delay(1, 2).get(timeout=10) == 3
    if pool != "solo":
        assert neighbour.get(timeout=10) == "done"
    assert f"survived {deaf.id}" not in notes.read_text()
    hook = f"hook {deaf.id} 1 KILLED KILLED"
    eventually(lambda: notes.read_text().count(f"hook {deaf.id}") == notes.read_text().count(hook) == 1)
    assert worker.alive


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_paused_job_goes_on_where_it_stopped(
    pool: str, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    start_worker(pool=pool)
    handle = lifecycle.counts.delay(150)
    eventually(lambda: handle.job.progress is not None)
    assert lifecycle.jobs.pause(handle.id) is S.PAUSE_REQUEST
    eventually(lambda: handle.job.state is S.SUSPENDED, message=lambda: str(path(handle)))
    assert path(handle)[-3:] == [S.FINISHED, S.RESCHEDULED, S.SUSPENDED]
    steps = notes.read_text().count("step")
    assert 0 < steps < 150
    assert lifecycle.jobs.resume(handle.id) is S.QUEUED
    assert handle.get(timeout=15) == 150
    done = [int(line.split()[2]) for line in notes.read_text().splitlines() if line.startswith("step")]
    assert done == list(range(150))  # nothing twice, nothing left out


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_job_that_is_cancelled_is_not_tried_again(
    pool: str, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    start_worker(pool=pool, concurrency=8)
    handles = [lifecycle.tries_on.delay(how, exc) for how in ("looks", "never", "before") for exc in (True, False)]
    handles += [lifecycle.gives_back.delay(looks) for looks in (True, False)]
    eventually(lambda: notes.read_text().count("waits") == len(handles))
    for handle in handles:
        handle.abort("wrong file")
    for handle in handles:
        job = ended(handle)
        assert (job.state, job.outcome, job.message) == (S.CANCELLED, Outcome.STOPPED, "cancelled")
        assert path(handle) == [S.QUEUED, S.RUNNING, S.CANCELLING_BY_USER, S.CANCELLED]
        with pytest.raises(TaskRevokedError, match="cancelled"):
            handle.get(timeout=5)
        eventually(lambda: f"hook {handle.id} 1 CANCELLED STOPPED" in notes.read_text())  # noqa: B023
    assert notes.read_text().count("body") == len(handles)


def test_a_job_that_runs_too_long_is_told_and_tried_again(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    handle = lifecycle.overlong.delay(60)
    with pytest.raises(SoftTimeLimitExceeded):
        handle.get(timeout=20)
    assert path(handle) == [
        *(S.QUEUED, S.RUNNING, S.CANCELLING_BY_SYSTEM, S.TIMEOUT, S.TIMEOUT_RETRY),
        *(S.WAITING_FOR_START, S.QUEUED, S.RUNNING, S.CANCELLING_BY_SYSTEM, S.TIMEOUT),
    ]


def test_a_job_that_runs_too_long_and_does_not_look_is_killed(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    handle = lifecycle.overlong_and_deaf.delay(60)
    with pytest.raises(TimeLimitExceeded):
        handle.get(timeout=20)
    assert path(handle) == [S.QUEUED, S.RUNNING, S.CANCELLING_BY_SYSTEM, S.KILLED]


def test_a_policy_tries_errors_again_a_few_times(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    assert lifecycle.errs.delay(2).get(timeout=20) == 3
    handle = lifecycle.errs.delay(9)
    with pytest.raises(ValueError, match="run 3"):
        handle.get(timeout=20)
    assert [run.state for run in lifecycle.jobs.runs(handle.id)] == [S.ERROR_RETRY, S.ERROR_RETRY, S.ERROR]


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_a_worker_that_goes_down_hands_over_what_looks(
    pool: str, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    workers = [start_worker(pool=pool), start_worker(pool=pool)]
    handle = lifecycle.counts.delay(800)  # it must not be over before the worker has seen that it is to go down
    eventually(lambda: handle.job.progress is not None)
    holder = next(worker for worker in workers if f"{handle.id}] received" in worker.log)
    assert holder.stop() == 0
    assert handle.get(timeout=40) == 800
    assert path(handle) == [
        *(S.QUEUED, S.RUNNING, S.SHUTDOWN_REQUEST, S.SHUTDOWN_CONFIRMED, S.SHUTDOWN_RESTART),
        *(S.QUEUED, S.RUNNING, S.FINISHED),
    ]
    done = [int(line.split()[2]) for line in notes.read_text().splitlines() if line.startswith("step")]
    assert done == list(range(800))


@pytest.mark.parametrize("name", ["starts_a_process", "starts_a_process_and_has_a_limit"])
def test_what_a_killed_job_has_started_goes_with_it(
    name: str, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    start_worker()
    handle = getattr(lifecycle, name).delay()
    line = eventually(lambda: next((one for one in notes.read_text().splitlines() if one.startswith("process")), ""))
    started = psutil.Process(int(line.split()[2]))
    eventually(lambda: len(started.children()) == 1)
    everything = [started, *started.children()]
    if name == "starts_a_process":
        handle.abort(grace=0.2)
    assert ended(handle).state is S.KILLED
    eventually(lambda: all(gone(one.pid) for one in everything))


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_worker_with_a_body_that_nothing_ends_lets_the_others_end_and_goes(
    pool: str, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    worker = start_worker(pool=pool)
    stuck = lifecycle.cannot_be_ended.delay(60)
    running(stuck)
    if pool == "threads":
        neighbour = lifecycle.hangs.delay(9)
        running(neighbour)
    stuck.abort(grace=0.2)
    job = ended(stuck)
    assert (job.state, job.outcome) == (S.KILLED, Outcome.KILLED)
    eventually(lambda: not worker.alive, 20, lambda: worker.log[-3000:])
    assert "this worker is tainted" in worker.log
    if pool == "threads":
        assert neighbour.get(timeout=5) == "done"
    later = lifecycle.add.delay(1, 2)
    start_worker(pool=pool)
    assert later.get(timeout=20) == 3

"""A worker that is killed with -9 loses no job: its runs end, and those that may run twice run again elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from billiard.exceptions import WorkerLostError
from celery import chord

from jobkit import State
from jobkit.testing import WorkerProcess, eventually

Start = Callable[..., WorkerProcess]
S = State


def running(lifecycle: ModuleType, *handles: object) -> bool:
    return all(handle.job.state is S.RUNNING for handle in handles)  # type: ignore[attr-defined]


def told(notes: Path, handle: object) -> list[str]:
    return [line for line in notes.read_text().splitlines() if line.startswith(f"hook {handle.id}")]  # type: ignore[attr-defined]


def test_a_job_that_may_run_twice_runs_again_elsewhere(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    doomed = start_worker()
    handle = lifecycle.may_run_twice.delay(60)
    eventually(lambda: running(lifecycle, handle))
    start_worker()
    doomed.kill()
    assert handle.get(timeout=20) == 2
    assert [step.target for step in handle.history()] == [
        S.QUEUED,
        S.RUNNING,
        S.ABORTED,
        S.ABORTED_RESTART,
        S.QUEUED,
        S.RUNNING,
        S.FINISHED,
    ]
    assert "vanished" in handle.history()[2].reason
    assert notes.read_text().count(f"body {handle.id}") == 2
    hooks = [f"hook {handle.id} 1 ABORTED_RESTART FAILED", f"hook {handle.id} 2 FINISHED SUCCEEDED"]
    eventually(lambda: told(notes, handle) == hooks, message=lambda: notes.read_text())


def test_a_job_that_may_not_is_aborted_and_says_so(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    doomed = start_worker()
    handle = lifecycle.at_most_once.delay(60)
    after = chord([lifecycle.at_most_once.s(60), lifecycle.add.s(1, 1)], lifecycle.goes_on.si()).delay()
    eventually(lambda: lifecycle.jobs.counts()[S.RUNNING] == 2)
    start_worker()
    doomed.kill()
    with pytest.raises(WorkerLostError, match="vanished"):
        handle.get(timeout=20)
    assert handle.job.state is S.ABORTED
    eventually(lambda: told(notes, handle) == [f"hook {handle.id} 1 ABORTED FAILED"], message=lambda: notes.read_text())
    # What waits for it hears of it too; with stock Celery this chord never ends.
    with pytest.raises(Exception, match="vanished"):
        after.get(timeout=20)


def died(worker: WorkerProcess) -> bool:
    return not worker.alive


def test_a_job_that_kills_its_workers_ends_after_its_rescues(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    handle = lifecycle.poison.delay()
    for run in range(1, 5):
        eventually(partial(died, start_worker(concurrency=1)), 20)
        assert notes.read_text().count("body") == run
    start_worker()
    with pytest.raises(WorkerLostError, match="after 3 restarts"):
        handle.get(timeout=20)
    assert handle.job.state is S.ABORTED

"""`on_finished`: once after each run, for a minute at most, and it may plan the next one; its process may die in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from jobkit import InvalidOption, Outcome, State
from jobkit.testing import WorkerProcess, eventually

Start = Callable[..., WorkerProcess]
S = State


def hooks(notes: Path, handle: Any) -> list[str]:
    """What the job was told, in order."""
    prefix = f"hook {handle.id} "
    return [line.removeprefix(prefix) for line in notes.read_text().splitlines() if line.startswith(prefix)]


def runs(handle: Any) -> list[State]:
    return [run.state for run in handle.app.jobkit.runs(handle.id)]


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_it_plans_the_next_run_with_a_checkpoint(
    pool: str, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    start_worker(pool=pool)
    good, bad = lifecycle.in_parts.delay(), lifecycle.in_parts.delay(fails=True)
    for handle, end in (good, S.FINISHED), (bad, S.ERROR):
        between = S.RESCHEDULED if end is S.FINISHED else S.ERROR_RETRY
        eventually(lambda handle=handle: len(hooks(notes, handle)) == 3)  # type: ignore[misc]
        assert runs(handle) == [between, between, end]
        told = [line.split()[1] for line in hooks(notes, handle)]
        assert told == [end] * 3  # it says how the run ended; what follows, it decides itself
    parts = [line.split()[2:] for line in notes.read_text().splitlines() if line.startswith(f"part {good.id}")]
    assert parts == [["1", "None"], ["2", "1"], ["3", "2"]]


def test_a_body_plans_its_next_run_itself(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    handle = lifecycle.plans_itself.delay()
    eventually(lambda: handle.job.state is S.FINISHED)
    assert runs(handle) == [S.RESCHEDULED, S.RESCHEDULED, S.FINISHED]
    with pytest.raises(InvalidOption, match="reschedule"):
        lifecycle.plans_itself.job.reschedule(-1)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_one_that_hangs_is_stopped_and_not_called_again(
    pool: str, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    worker = start_worker(pool=pool, env={"JOBKIT_TEST_LIMIT": "1"})
    handle = lifecycle.told_for_ever.delay()
    eventually(lambda: handle.job.state is S.FINISHED, 20)
    eventually(lambda: worker.log.count("did not end within 1 s and was stopped") == 2)
    assert hooks(notes, handle) == ["1 ERROR_RETRY FAILED", "2 FINISHED SUCCEEDED"]
    assert runs(handle) == [S.ERROR_RETRY, S.FINISHED]
    assert "survived" not in notes.read_text()
    eventually(lambda: handle.job.extra.get("hook_interrupted") == "2 stopped after 1 s")
    # The second run waited for the end of the first one's.
    waited = [step.target for step in handle.history()]
    assert waited[3:5] == [S.ERROR_RETRY, S.WAITING_FOR_PREDECESSOR]
    assert lifecycle.add.delay(1, 2).get(timeout=10) == 3


def test_one_that_does_not_even_stop_loses_its_process(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    worker = start_worker(env={"JOBKIT_TEST_LIMIT": "0.5"}, concurrency=1)
    handle = lifecycle.told_and_deaf.delay()
    eventually(lambda: hooks(notes, handle) == ["1 FINISHED SUCCEEDED"])
    eventually(lambda: "in deaf_when_told" in worker.log)
    assert lifecycle.add.delay(1, 2).get(timeout=20) == 3
    job = eventually(lambda: handle.job.extra.get("hook_interrupted") and handle.job, 20)
    assert (job.state, job.outcome) == (S.FINISHED, Outcome.SUCCEEDED)
    assert hooks(notes, handle) == ["1 FINISHED SUCCEEDED"]


@pytest.mark.parametrize("victim", ["worker", "child"])
def test_one_that_dies_in_the_middle_is_not_called_again_and_the_job_goes_on(
    victim: str, lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    doomed = start_worker()
    handle = lifecycle.told_for_ever.delay()
    eventually(lambda: len(hooks(notes, handle)) == 1)
    assert handle.job.state is S.WAITING_FOR_PREDECESSOR
    if victim == "worker":
        start_worker()
        doomed.kill()
    else:
        for child in psutil.Process(doomed.pid).children():
            child.kill()
    eventually(lambda: len(hooks(notes, handle)) == 2, 30, lambda: str(handle.history()))
    assert hooks(notes, handle) == ["1 ERROR_RETRY FAILED", "2 FINISHED SUCCEEDED"]
    assert handle.job.extra["hook_interrupted"] == "1 its process died"

"""L1: whatever ends a run, and whatever its hook does then: it is called once, and the end that was recorded stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobkit.states import State
from jobkit.testing import eventually
from tests.chaos.evidence import HOOK
from tests.chaos.nursery import Nursery
from tests.chaos.size import size
from tests.chaos.stage import Stage, staged

S = State

#: What ends a run: the task, its arguments and options, what is done to it once it runs, and how it ends.
CAUSES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], Callable[[Any], object] | None, State]] = {
    "success": ("plain", (0.05,), {}, None, S.FINISHED),
    "a retry": ("retries", (1, 0.05), {}, None, S.FINISHED),
    "an error": ("dies", ("cannot be written",), {}, None, S.ERROR),
    "a death": ("dies", ("is killed",), {}, None, S.ABORTED),
    "a time limit": ("limited", (20,), {}, None, S.TIMEOUT),
    "a cancel": ("looks", (30,), {}, lambda handle: handle.abort(), S.CANCELLED),
    "a kill": ("hangs", (30,), {}, lambda handle: handle.abort(grace=0.2), S.KILLED),
    "a removal": ("plain", (0.05,), {"countdown": 60}, None, S.REMOVED),
}
#: What its hook does, as the id of the job says.
HOOKS = ("returns", "raises", "hangs")
LIMIT = 2.0


def test_l1_the_hook_is_called_once_whatever_it_does(tmp_path: Path, nursery: Nursery) -> None:
    with staged(tmp_path, {"jobkit_on_finished_limit": LIMIT}, nursery=nursery) as stage:
        for _ in range(2):
            stage.start(concurrency=4)
        expected: dict[Any, State] = {}
        for number in range(size(1, 20)):
            for cause in CAUSES:
                expected |= {begin(stage, cause, hook, number): CAUSES[cause][-1] for hook in HOOKS}
        for handle in expected:
            stop(stage, handle)
        assert stage.judge(size(60, 600)) == []
        for handle, state in expected.items():
            assert (handle.id, handle.job.state) == (handle.id, state)
            calls = [line.run for line in stage.evidence.of(handle.id, HOOK)]
            assert calls == list(range(1, handle.job.run + 1)), handle.id
        runs = sum(handle.job.run for handle in expected)
        print("hooks / ended runs:", len(stage.evidence.lines(HOOK)), "/", runs)
        stopped = sum(worker.log.count(f"did not end within {LIMIT:g} s and was stopped") for worker in stage.workers)
        assert stopped == sum(handle.job.run for handle in expected if "-hangs-" in handle.id)


def begin(stage: Stage, cause: str, hook: str, number: int) -> Any:
    task, args, options, _, _ = CAUSES[cause]
    return stage.submit(task, *args, task_id=f"{cause.replace(' ', '-')}-{hook}-{number}", **options)


def stop(stage: Stage, handle: Any) -> None:
    """Do to it what ends it."""
    cause = next(cause for cause in CAUSES if handle.id.startswith(cause.replace(" ", "-")))
    act = CAUSES[cause][3]
    if cause == "a removal":
        handle.abort()
    elif act:
        eventually(lambda: handle.job.state is S.RUNNING, 60)
        act(handle)

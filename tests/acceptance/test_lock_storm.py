"""Many jobs on few locks while workers are killed with -9: judged by what a file outside of Redis says.

``JOBKIT_STORM=full`` runs 200 jobs; without it 60.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jobkit import State
from jobkit.testing import WorkerProcess, eventually

FULL = os.environ.get("JOBKIT_STORM") == "full"
JOBS, LIMIT = (200, 110) if FULL else (60, 60)
NAMES = ("l1", "l2", "l3", "l4", "l5")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_never_two_holders_no_lock_left_and_in_order(
    lifecycle: ModuleType, start_worker: Callable[..., WorkerProcess], notes: Path
) -> None:
    dice = random.Random(os.environ.get("JOBKIT_SEED", "7"))
    wishes = [sorted(dice.sample(NAMES, dice.randint(1, 3))) for _ in range(JOBS)]
    handles = [lifecycle.jobs.submit(lifecycle.storms.s(wish), locks=wish) for wish in wishes]
    workers = [start_worker(concurrency=4) for _ in range(2)]
    kills, end = 0, time.monotonic() + LIMIT
    while any(handle.job.is_live for handle in handles):
        assert time.monotonic() < end, lifecycle.jobs.counts()
        seen = notes.stat().st_size
        eventually(lambda seen=seen: notes.stat().st_size > seen or not running(handles), 30)  # type: ignore[misc]
        if dice.random() < 0.15 and kills < JOBS // 8:
            workers.pop(dice.randrange(2)).kill()
            workers.append(start_worker(concurrency=4))
            kills += 1
    assert kills
    assert {handle.job.state for handle in handles} == {State.FINISHED}
    assert lifecycle.jobs.locks() == ()
    judge(notes, [handle.id for handle in handles], dict(zip((h.id for h in handles), wishes, strict=True)))


def running(handles: list[Any]) -> bool:
    return any(handle.job.is_live for handle in handles)


def judge(notes: Path, order: list[str], wishes: dict[str, list[str]]) -> None:
    """No fence goes back on a lock, so nobody is in while another is; and all come in the order of their turn."""
    last: dict[str, tuple[int, str]] = {}
    came: dict[str, list[str]] = {name: [] for name in NAMES}
    for line in notes.read_text().splitlines():
        what, job_id, fence = line.split()
        for name in wishes[job_id]:
            before, holder = last.get(name, (0, job_id))
            assert int(fence) > before or (int(fence) == before and holder == job_id), (name, line)
            last[name] = (int(fence), job_id)
            if what == "in" and job_id not in came[name]:
                came[name].append(job_id)
    for name, ids in came.items():
        assert ids == [job_id for job_id in order if name in wishes[job_id]], name

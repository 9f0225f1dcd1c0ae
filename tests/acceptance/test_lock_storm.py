"""Many jobs on few locks while workers are killed with -9: judged by what a file outside of Redis says.

``CHAOS_FULL=1`` runs 200 jobs, on five locks and on twenty; without it 60 on five.
"""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jobkit import State
from jobkit.testing import WorkerProcess, eventually
from tests.chaos.size import only_full, size

JOBS, LIMIT = size((60, 60), (200, 110))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("locks", [5, *only_full([20])])
def test_never_two_holders_no_lock_left_and_in_order(
    lifecycle: ModuleType, start_worker: Callable[..., WorkerProcess], notes: Path, locks: int
) -> None:
    names = [f"l{n}" for n in range(1, locks + 1)]
    dice = random.Random(os.environ.get("JOBKIT_SEED", "7"))
    wishes = [sorted(dice.sample(names, dice.randint(1, 3 if locks < 20 else 4))) for _ in range(JOBS)]
    workers = [start_worker(concurrency=4) for _ in range(2)]
    handles = [lifecycle.jobs.submit(lifecycle.storms.s(wish), locks=wish) for wish in wishes]
    kills, pause, end = 0, 0.0, time.monotonic() + LIMIT
    while any(handle.job.is_live for handle in handles):
        assert time.monotonic() < end, lifecycle.jobs.counts()
        seen, began = notes.stat().st_size, time.monotonic()
        eventually(lambda seen=seen: notes.stat().st_size > seen or not running(handles), 30)  # type: ignore[misc]
        pause = max(pause, time.monotonic() - began)
        if not kills or (dice.random() < 0.15 and kills < JOBS // 8):
            workers.pop(dice.randrange(2)).kill()
            workers.append(start_worker(concurrency=4))
            kills += 1
    print(f"{JOBS} jobs on {locks} locks, {kills} workers killed; something went on at least every {pause:.1f} s")
    assert {handle.job.state for handle in handles} == {State.FINISHED}
    assert lifecycle.jobs.locks() == ()
    judge(notes, [handle.id for handle in handles], dict(zip((h.id for h in handles), wishes, strict=True)))


def running(handles: list[Any]) -> bool:
    return any(handle.job.is_live for handle in handles)


def judge(notes: Path, order: list[str], wishes: dict[str, list[str]]) -> None:
    """No fence goes back on a lock, so nobody is in while another is; and all come in the order of their turn."""
    last: dict[str, tuple[int, str]] = {}
    came: defaultdict[str, list[str]] = defaultdict(list)
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

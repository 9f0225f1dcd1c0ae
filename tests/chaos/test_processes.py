"""Workers and their children die, freeze and hog (P1, P2, P4, P5, P7, P8, P9, L7); P3 is in test_points.py."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from jobkit.states import State
from jobkit.testing import eventually
from tests.brokers import length
from tests.chaos.app import DEATHS
from tests.chaos.cancels import killed, seen
from tests.chaos.evidence import GONE, HOOK, REFUSED, SAVED, START
from tests.chaos.figures import declared, percentile, rescues, spread
from tests.chaos.stage import Stage, Worker
from tests.chaos.storm import Weather, blow

S = State


def path(handle: Any) -> str:
    """The states of a job's whole history."""
    return " ".join(step.target for step in handle.history())


def test_p1_workers_are_killed(tmp_path: Path) -> None:
    weather = Weather(jobs=150, workers=3, restarts=0, seconds=100, faults=("kill",))
    result = blow(tmp_path, weather)
    assert result.findings == []
    assert result.faults["kill"] >= 5


def test_p2_children_are_killed_and_nobody_else_notices(stage: Stage) -> None:
    workers = [stage.start(concurrency=4) for _ in range(2)]
    chance = random.Random(2)
    handles = [stage.submit("plain", 1.0) for _ in range(40)]
    stage.started(*handles[:8])
    for _ in range(10):
        worker = chance.choice(workers)
        kill_a_child(worker, stage, chance)
        time.sleep(0.25)  # the rate of the fault
    assert stage.judge(40) == []
    case = stage.judged
    print("children killed, to queued again:", spread(declared(case)), "to the next start:", spread(rescues(case)))
    executed = [body for bodies in case.bodies.values() for body in bodies]
    killed = [body for body in executed if body.how == ""]
    assert killed
    assert all(body.how == "returned" for body in executed if body not in killed)
    # One may be killed between its body and its end: that body is done again too.
    assert len(handles) + len(killed) <= len(executed) <= len(handles) + 10


def kill_a_child(worker: Worker, stage: Stage, chance: random.Random) -> None:
    child = chance.choice(worker.children)
    os.kill(child, signal.SIGKILL)
    stage.evidence.note(GONE, worker=worker.name, child=child)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_p4_a_worker_freezes_and_thaws(stage: Stage, pool: str) -> None:
    frozen = stage.start(pool, 5)
    handles = [stage.submit("steps", 60, 0.1) for _ in range(2)]
    handles += [stage.submit("retries", 1, 3.0), stage.submit("fails", 1, 3.0), stage.submit("looks", 8.0)]
    over = max(line.at for line in stage.started(*handles)) + 3.1
    frozen.freeze()
    stage.start(pool, 5)
    stage.started(*handles, run=2)
    eventually(lambda: time.monotonic() > over)  # what rests hears nothing: its rest is over when it thaws
    frozen.thaw()
    eventually(lambda: len(stage.evidence.lines(REFUSED)) >= 2, 20)
    assert stage.judge(40) == []
    for handle in handles:
        assert "ABORTED ABORTED_RESTART" in path(handle)
        assert handle.job.state is S.FINISHED


def test_p5_a_job_that_kills_its_worker_ends_after_its_restarts(stage: Stage) -> None:
    handle = stage.submit("murders", queue="mine")
    stage.start(arguments=["--queues=celery"])
    neighbours = [stage.submit("plain", 0.2) for _ in range(10)]
    for run in range(1, 5):
        doomed = stage.start(arguments=["--queues=mine"])
        eventually(doomed.ended, 20)
        assert len(stage.evidence.of(handle.id, START)) == run
    stage.start(arguments=["--queues=mine"])
    assert stage.judge() == []
    assert handle.job.state is S.ABORTED
    assert len(stage.evidence.of(handle.id, HOOK)) == 4
    assert all(neighbour.job.state is S.FINISHED and neighbour.job.run == 1 for neighbour in neighbours)
    assert length(stage.app, "mine") == 0


def test_p5_a_job_the_system_kills_ends_after_its_restarts(stage: Stage) -> None:
    stage.start(concurrency=4)
    handle = stage.submit("fatal")
    neighbours = [stage.submit("plain", 0.5) for _ in range(6)]
    stage.all_end(20)
    stage.told()
    assert stage.judge() == []
    assert handle.job.state is S.ABORTED
    assert (len(stage.evidence.of(handle.id, START)), len(stage.evidence.of(handle.id, HOOK))) == (4, 4)
    assert all(neighbour.job.state is S.FINISHED and neighbour.job.run == 1 for neighbour in neighbours)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_p8_a_body_keeps_the_interpreter_to_itself(stage: Stage, pool: str) -> None:
    stage.start(pool)
    handle = stage.submit("hogs", 6.0)
    stage.started(handle)
    stage.start()
    if pool == "prefork":
        assert stage.judge() == []
        assert path(handle) == "QUEUED RUNNING FINISHED"
        return
    # Nobody can see that such a worker lives: its run is taken over, and its late end is refused.
    assert stage.judge(ignore=["bodies_do_not_overlap"]) == []
    assert "no proof of life" in stage.workers[0].log
    assert handle.job.state is S.FINISHED


def test_p9_a_body_ends_its_process(stage: Stage) -> None:
    stage.start(concurrency=3)
    handles = {how: stage.submit("dies", how) for how in DEATHS}
    stage.all_end(15)
    neighbour = stage.submit("plain", 0.1)
    assert stage.judge() == []
    assert neighbour.job.state is S.FINISHED
    found = {how: (handle.job.state, handle.job.failure and handle.job.failure.type) for how, handle in handles.items()}
    lost = (S.ABORTED, "WorkerLostError")
    assert found == {
        "leaves": lost,
        "crashes": lost,
        "is killed": lost,
        "exits": (S.ABORTED, "WorkerLostError"),
        "raises when it goes": (S.FINISHED, None),
        "cannot be written": (S.ERROR, "EncodeError"),
        "is too large": (S.ERROR, "MemoryError"),
    }


def test_l7_steps_are_done_once_but_for_the_one_that_was_cut(stage: Stage) -> None:
    stage.start()
    handles = [stage.submit("steps", 100, 0.05) for _ in range(2)]
    chance = random.Random(7)
    for run in (1, 2, 3):
        stage.started(*handles, run=run)
        time.sleep(chance.uniform(0.2, 0.6))  # somewhere in the middle
        stage.workers[-1].kill_all()
        stage.start()
    assert stage.judge(40) == []
    for handle in handles:
        saved = [line.more["value"] for line in stage.evidence.of(handle.id, SAVED)]
        # The answer to a write may be lost with who waits for it: then a step is saved that nobody saw.
        missed = set(range(1, 101)) - set(saved)
        assert len(saved) == len(set(saved))
        assert len(missed) <= 3
        assert saved == sorted(saved)
    print("workers killed:", spread(declared(stage.judged)), "of which", percentile(rescues(stage.judged), 0.99))


def test_p6_a_body_that_hears_nothing_is_killed_alone_and_a_cancel_is_seen_at_once(stage: Stage) -> None:
    stage.start(concurrency=9)
    death = killed(stage, grace=1.0, neighbours=8, seconds=3.0)
    flags = seen(stage, 8)
    assert stage.judge() == []
    print("grace over to KILLED:", death, "cancel to its sight:", spread(flags, 1000, "ms"))
    assert death.unharmed == 8
    assert -0.1 <= death.late < 10
    assert percentile(flags, 0.5) < 2

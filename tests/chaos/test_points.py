"""P3: whoever dies, and wherever: the job goes on, nothing is lost and nothing happens twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobkit.states import State
from jobkit.testing import eventually
from tests.brokers import length
from tests.chaos.app import CONFIG
from tests.chaos.evidence import ACCEPTED, GONE, HOOK, START
from tests.chaos.nursery import Nursery
from tests.chaos.stage import ROOT, Stage, staged

#: Where a worker dies with a job, the job, and how often its body is started in all.
RUNNING: dict[str, tuple[str, tuple[Any, ...], int]] = {
    "received": ("plain", (0.05,), 1),
    "claimed": ("plain", (0.05,), 1),
    "saving": ("steps", (2, 0.05), 2),
    "saved": ("steps", (2, 0.05), 2),
    "retry planned": ("retries", (1, 0.05), 2),
    "body over": ("plain", (0.05,), 2),
    "finished": ("plain", (0.05,), 1),
    "may tell": ("plain", (0.05,), 1),
    "in the hook": ("plain", (0.05,), 1),
    "told": ("plain", (0.05,), 1),
}
QUICK = {"jobkit_lease": 2.0, "jobkit_renew": 0.5}


def test_a_worker_dies_with_a_job(stage: Stage) -> None:
    jobs, doomed = {}, {}
    for point, (task, args, _) in RUNNING.items():
        doomed[point] = stage.start(concurrency=1, arguments=[f"--queues={point}"], wait=False, failpoint=point)
        jobs[point] = stage.submit(task, *args, queue=point)
    removed = stage.submit("plain", 1, queue="removed")
    removed.abort()
    doomed["removed"] = stage.start(arguments=["--queues=removed"], wait=False, failpoint="body over")
    for point, worker in doomed.items():
        eventually(worker.ended, 20, f"{point}: it lives")
    stage.start(arguments=[f"--queues=removed,{','.join(RUNNING)}"])
    assert stage.judge(30) == []
    # Who was given the telling and died before he told: nobody else tells it.
    assert stage.evidence.of(jobs["may tell"].id, HOOK) == []
    for point, job in jobs.items():
        assert job.job.state is State.FINISHED, point
        assert len(stage.evidence.of(job.id, START)) == RUNNING[point][2], point
    assert removed.job.state is State.REMOVED
    assert len(stage.evidence.of(removed.id, HOOK)) == 1


@pytest.mark.parametrize("point", ["taken", "published"])
def test_a_keeper_dies_while_it_publishes(tmp_path: Path, nursery: Nursery, point: str) -> None:
    with staged(tmp_path, QUICK, nursery=nursery) as stage:
        handles = [stage.submit("plain", 0.01, countdown=0.2) for _ in range(5)]
        doomed = stage.start(arguments=["--queues=other"], failpoint=point, wait=False)
        eventually(doomed.ended, 20)
        stage.start()
        assert stage.judge(30) == []
        assert [len(stage.evidence.of(handle.id, START)) for handle in handles] == [1] * 5


@pytest.mark.parametrize("point", ["rescued", "settled"])
def test_a_keeper_dies_while_it_rescues(tmp_path: Path, nursery: Nursery, point: str) -> None:
    with staged(tmp_path, QUICK, nursery=nursery) as stage:
        doomed = stage.start(arguments=["--queues=other"], failpoint=point)
        first = stage.start()
        handles = [stage.submit("steps", 20, 0.1) for _ in range(2)]
        stage.started(*handles)
        first.kill_all()
        eventually(doomed.ended, 20)
        stage.start()
        assert stage.judge(30) == []
        assert [len(stage.evidence.of(handle.id, START)) for handle in handles] == [2, 2]


def test_a_client_dies_before_it_publishes(stage: Stage) -> None:
    client = subprocess.run(
        [sys.executable, "-m", "tests.chaos.submit", "plain", "mine", "[0.01]"],
        env={**os.environ, CONFIG: json.dumps({**stage.config, "failpoint": "recorded"})},
        cwd=ROOT,
        start_new_session=True,
        check=False,
    )
    assert client.returncode == -signal.SIGKILL
    assert stage.jobs.get("mine").state is State.QUEUED
    assert length(stage.app) == 0
    stage.evidence.note(ACCEPTED, "mine")
    stage.start()
    assert stage.judge() == []
    assert len(stage.evidence.of("mine", START)) == 1
    assert stage.evidence.lines(GONE)

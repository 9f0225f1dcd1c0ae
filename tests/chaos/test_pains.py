"""What stock Celery loses, doubles or forgets (CELERY-PAINS, section 0), each row with real workers.

Rows that other tests show: C, Q (tests/acceptance/test_pains.py); A, T (tests/web/test_pages.py,
tests/acceptance/test_cli.py: every job is known from its
submission), H1, H2, R (test_vanished_workers.py), I1 (test_lost_messages.py), L (test_stopping.py: a cancel on every
pool), N1, N2, P (tests/chaos/test_rollout.py: told to go in every way), S (test_family.py: three levels with one slot),
D1 to D3 also in tests/chaos/test_processes.py.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import TaskRevokedError

from jobkit.states import State
from jobkit.testing import eventually
from tests.chaos.evidence import GONE, START
from tests.chaos.nursery import Nursery
from tests.chaos.stage import Stage, staged

S = State


def starts(stage: Stage, handle: Any) -> int:
    return len(stage.evidence.of(handle.id, START))


def test_b_a_job_that_is_aborted_while_no_worker_is_up_does_not_run(stage: Stage) -> None:
    handle = stage.submit("plain", 0.1)
    handle.abort()
    stage.start()
    with pytest.raises(TaskRevokedError):
        handle.get(timeout=10)
    assert stage.judge() == []
    assert (handle.job.state, starts(stage, handle)) == (S.REMOVED, 0)


def test_d_a_pool_process_is_killed(stage: Stage) -> None:
    stage.start()
    handles = {task: stage.submit(task, 3.0) for task in ("once", "late")}
    for line in stage.started(*handles.values()):
        os.kill(line.pid, signal.SIGKILL)
        stage.evidence.note(GONE, worker=line.worker, child=line.pid)
    assert stage.judge() == []
    assert (handles["once"].job.state, starts(stage, handles["once"])) == (S.ABORTED, 1)
    assert (handles["late"].job.state, starts(stage, handles["late"])) == (S.FINISHED, 2)


def test_j_k_a_short_visibility_timeout_starts_nothing_twice(tmp_path: Path, nursery: Nursery) -> None:
    conf = {"broker_transport_options": {"visibility_timeout": 2, "unacked_restore_interval": 1}}
    with staged(tmp_path, conf, nursery=nursery) as stage:
        for _ in range(2):
            stage.start()
        handles = [stage.submit("late", 5), stage.submit("plain", 0.1, countdown=5)]
        assert stage.judge() == []
        assert [starts(stage, handle) for handle in handles] == [1, 1]


def test_m_limits_hold_on_threads_too(stage: Stage) -> None:
    stage.start(pool="threads")
    handle = stage.submit("limited", 20)
    assert stage.judge() == []
    assert handle.job.state is S.TIMEOUT


def test_o_an_aborted_job_stays_so_when_its_worker_is_killed_and_started_again(stage: Stage) -> None:
    worker = stage.start(concurrency=1)
    blocker = stage.submit("plain", 60)
    stage.started(blocker)
    handle = stage.submit("plain", 0.1)
    eventually(lambda: f"{handle.id}] received" in worker.log)
    handle.abort()
    worker.kill_all()
    blocker.abort(grace=0.1)
    stage.start()
    assert stage.judge() == []
    assert (handle.job.state, starts(stage, handle)) == (S.REMOVED, 0)

"""P7: workers are replaced while they work; what looks goes on elsewhere, what does not is run again, or said lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobkit import Outcome
from jobkit.states import State
from jobkit.testing import eventually
from tests.chaos.figures import handovers, spread, text
from tests.chaos.nursery import Nursery
from tests.chaos.rollout import REMAP, WAYS, Rollout, repeated, roll
from tests.chaos.stage import ROOT, Stage, Worker, staged

S = State
#: How a worker is told, and its pool.
TOLD = [("warm", "threads"), ("soft", "prefork"), ("soft", "threads"), ("cold", "prefork")]


@pytest.fixture(scope="module")
def remapped() -> Iterator[Nursery]:
    """Where workers come from to whom SIGTERM means SIGQUIT."""
    nursery = Nursery(ROOT, REMAP)
    yield nursery
    nursery.close()


class Told:
    """A worker that is told in one way, with jobs that look and jobs that do not, early and late ones."""

    def __init__(self, stage: Stage, way: str, pool: str) -> None:
        self.number, _, soft = WAYS[way]
        self.cold, queue = way == "cold", f"{way}-{pool}"
        conf = {"worker_soft_shutdown_timeout": soft * 10}
        self.stage, self.queue = stage, queue
        self.worker: Worker = stage.start(pool, 4, [f"--queues={queue}"], wait=False, conf=conf)

    def submit(self) -> None:
        """Submit its jobs, once all workers are there: what looks takes 8 s."""
        self.looks = self._submit("steps", 40, 0.2)
        self.again = [self._submit(task, 30) for task in ("lingers", "late lingers")]
        self.once = self._submit("once", 30)
        self.jobs = [self.looks, *self.again, self.once]

    def _submit(self, task: str, *args: Any) -> Any:
        return self.stage.submit(task, *args, queue=self.queue)

    def check(self) -> None:
        """What looks was handed over, the rest cut off; only what is acknowledged early and has no policy is lost."""
        told = [] if self.cold else [S.SHUTDOWN_REQUEST]
        begun, ended = [S.QUEUED, S.RUNNING, *told], [S.QUEUED, S.RUNNING, S.FINISHED]
        cut_off = [*begun, S.ABORTED, S.ABORTED_RESTART, *ended]
        handed_over = [*begun, S.SHUTDOWN_CONFIRMED, S.SHUTDOWN_RESTART, *ended]
        assert path(self.looks) == (cut_off if self.cold else handed_over)
        assert [path(handle) for handle in self.again] == [cut_off] * 2
        assert path(self.once) == [*begun, S.ABORTED]
        assert self.once.job.outcome is Outcome.FAILED


def path(handle: Any) -> list[State]:
    """The states of a job, without those a run passes while the last one comes to its end."""
    passing = (S.WAITING_FOR_PREDECESSOR, S.WAITING_FOR_START)
    return [step.target for step in handle.history() if step.target not in passing]


def test_p7_workers_are_told_to_go_in_every_way(tmp_path: Path, nursery: Nursery, remapped: Nursery) -> None:
    with staged(tmp_path, nursery=nursery) as stage:
        told = []
        for way, pool in TOLD:
            stage.nursery = remapped if WAYS[way][1] else nursery
            told.append(Told(stage, way, pool))
        for one in told:
            one.worker.wait_ready()
        for one in told:
            one.submit()
        stage.started(*(job for one in told for job in one.jobs))
        for one in told:
            one.worker.tell(one.number)
        stage.start("threads", 20, [f"--queues={','.join('-'.join(how) for how in TOLD)}"])
        stage.started(*(one.looks for one in told if not one.cold), run=2)
        for one in told:
            if one.cold:
                eventually(one.worker.ended, 20)
            else:
                assert not one.worker.ended()
                one.worker.kill_all()
        # Of a pool whose processes Celery ends, only the end of its worker is seen from outside.
        cold = {job.id for one in told for job in one.jobs if one.cold}
        findings = [it for it in stage.judge() if it.rule != "bodies_do_not_overlap" or it.job not in cold]
        assert findings == []
        print("handed over, after the start of a worker:", spread(handovers(stage.judged)))
        for one in told:
            one.check()
        assert list(repeated(stage.judged)) == []


def test_p7_workers_are_replaced_under_load(tmp_path: Path, nursery: Nursery) -> None:
    with staged(tmp_path, nursery=nursery) as stage:
        findings, rows = roll(stage, Rollout(jobs=24, deploys=1, workers=2, patience=1.5))
        print(text(rows))
        assert findings == []

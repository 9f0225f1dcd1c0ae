"""What stock Celery loses of a task that asks to be ignored or rejected, and of a chord (CELERY-PAINS, rows C and Q).

The other rows: tests/chaos/test_pains.py.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from celery import chord

from jobkit import Outcome
from jobkit.states import State
from jobkit.testing import eventually

Start = Callable[..., object]
S = State


def test_c_a_job_that_asks_to_be_ignored_or_rejected_comes_to_its_end(
    lifecycle: ModuleType, start_worker: Start
) -> None:
    start_worker()
    ignored, rejected, late = (lifecycle.refuses.delay(*args) for args in ((), (False,), (True,)))
    for handle in (ignored, rejected, late):
        eventually(lambda handle=handle: not handle.job.is_live)  # type: ignore[misc]
    assert (ignored.job.state, ignored.job.outcome) == (S.FINISHED, Outcome.STOPPED)
    assert ignored.job.message == "the task asked to be ignored"
    for handle in (rejected, late):  # it was acknowledged early: it cannot go back
        assert (handle.job.state, handle.job.outcome) == (S.ERROR, Outcome.FAILED)
        assert handle.job.failure.type == "Reject"


def test_q_a_chord_hears_of_a_member_whose_process_was_killed(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    after = chord([lifecycle.dies.s(), lifecycle.add.s(1, 1)], lifecycle.goes_on.si()).delay()
    with pytest.raises(Exception, match="exited prematurely"):
        after.get(timeout=20)
    members = {job.task: job.state for job in lifecycle.jobs.query().jobs}
    assert members[lifecycle.dies.name] is S.ABORTED
    assert members[lifecycle.add.name] is S.FINISHED

"""A run whose worker vanished: run again elsewhere if its task allows it, failed in Celery's words if not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from billiard.exceptions import WorkerLostError

from jobkit.ext import ends, identity, messages
from jobkit.ext.backend import Recording
from jobkit.states import Outcome
from jobkit.store import End, Settled
from jobkit.store.workers import Lost

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit


def settle(jobs: JobKit, lost: Lost) -> None:
    """End a run this worker was handed: it holds it, so that nobody else settles it too."""
    holder = Settled(lost.run, "", identity.worker())
    reason = f"worker {lost.worker.partition('|')[0]} vanished"
    task = jobs.app.tasks.get(lost.task)
    if lost.message and lost.rescued < lost.rescues:
        facts = {"rescued": str(lost.rescued + 1)}
        end = End(("abort",), Outcome.FAILED, reason, again=True, facts=facts, keep=jobs.keep("FAILURE"))
        ends.finish_run(jobs, task, lost.id, holder, end, reason)
        return
    exc = WorkerLostError(reason if not lost.rescued else f"{reason}, after {lost.rescued} restarts")
    backend = task.backend if task else jobs.app.backend
    if lost.message:
        # Chords, chains and errbacks hear of it the way they hear of every failure.
        backend.mark_as_failure(lost.id, exc, request=messages.context(jobs.app, lost.message, lost.run))
    if not isinstance(backend, Recording) or not lost.message:
        end = ends.end_of("FAILURE", exc, None, None, jobs.keep("FAILURE"))
        ends.finish_run(jobs, task, lost.id, holder, end, reason)

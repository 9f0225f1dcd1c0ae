"""A run whose worker vanished: run again elsewhere if its task allows it, failed in Celery's words if not."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from billiard.exceptions import WorkerLostError
from celery import states as celery_states
from celery.exceptions import NotRegistered
from kombu.exceptions import ContentDisallowed, DecodeError

from jobkit.errors import JobNotFound
from jobkit.ext import ends, hooks, identity, messages, restarts
from jobkit.ext.backend import Recording
from jobkit.policy import from_text
from jobkit.states import Category, Outcome, State
from jobkit.store import End, Settled, queries
from jobkit.store.workers import Lost

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

log = logging.getLogger("jobkit")


def settle(jobs: JobKit, lost: Lost, reason: str = "") -> None:
    """End a run this worker was handed: it holds it, so that nobody else settles it too."""
    if State(lost.state).category is not Category.RUNNING:
        return _settle_hook(jobs, lost)
    hook_cut_off(jobs, lost.id, lost.task, lost.hook)
    holder = Settled(lost.run, "", identity.worker())
    reason = reason or f"worker {lost.worker.partition('|')[0]} vanished"
    task = jobs.app.tasks.get(lost.task)
    end = again = End(("abort",), Outcome.FAILED, reason)
    if lost.message and lost.policy and lost.state not in restarts.UNWANTED:
        again = restarts.with_restart(end, from_text(lost.policy), "abort", lost.restarts)
    if again.again is not None and ends.finish_run(jobs, task, lost.id, holder, again, reason):
        return
    exc = WorkerLostError(f"{reason}, after {counted} restarts" if (counted := _restarts(lost)) else reason)
    backend = task.backend if task else jobs.app.backend
    if lost.message:
        # Chords, chains and errbacks hear of it the way they hear of every failure.
        backend.mark_as_failure(lost.id, exc, request=messages.context(jobs.app, lost.message, lost.run))
    if not isinstance(backend, Recording) or not lost.message:
        ends.finish_run(jobs, task, lost.id, holder, end._replace(failure=ends.failure(exc)), reason)


def _settle_hook(jobs: JobKit, lost: Lost) -> None:
    """It was about to be told that a run ended, or in the middle of it."""
    run, _, rest = lost.hook.partition(" ")
    token, _, worker = rest.partition(" ")
    if token.startswith("!?") or not token:
        return hooks.done(jobs, lost.id, (int(run), token, worker or identity.worker()), untold=True)
    return hook_cut_off(jobs, lost.id, lost.task, lost.hook)


def hook_cut_off(jobs: JobKit, job_id: str, task: str, hook: str) -> None:
    """Who died had begun to tell the job that a run ended, be it an earlier one than the one he had claimed."""
    run, _, rest = hook.partition(" ")
    if rest:
        token, _, worker = rest.partition(" ")
        log.error("%s[%s] was being told that its run %s ended; it is not told again", task, job_id, run)
        hooks.done(jobs, job_id, (int(run), token, worker), interrupted="its process died")


def unknown(jobs: JobKit, name: str, id: str, message: Any, **_: Any) -> None:
    """End a job whose task this app does not know; Celery says so only to a result backend that may not be ours."""
    if not isinstance(jobs.app.backend, Recording):
        end = ends.end_of(celery_states.FAILURE, NotRegistered(name), None, None)
        ends.finish_run(jobs, None, id, ends.holder_of(id, message.headers), end, end.note)


def rejected(jobs: JobKit, message: Any, **_: Any) -> None:
    """End a job whose message this app may not read: Celery drops it and tells nobody.

    Anybody may have written a message: the job fails only where its own, kept with the record, is no better.
    """
    job_id = str(message.headers.get("id") or "")
    try:
        record = queries.fields(jobs.store, job_id, "message", "run")
        messages.context(jobs.app, record["message"], int(record["run"]))
    except (ContentDisallowed, DecodeError) as exc:
        task = jobs.app.tasks.get(message.headers.get("task"))
        backend = task.backend if task else jobs.app.backend
        meta = backend.payload(job_id, exc, celery_states.FAILURE) if isinstance(backend, Recording) else ""
        end = ends.end_of(celery_states.FAILURE, exc, None, None, meta)
        end = end._replace(verbs=("claim", "fail"), born=())  # only where nobody has begun
        ends.finish_run(jobs, task, job_id, Settled(None, "", identity.worker()), end, "it cannot be read")
    except (JobNotFound, KeyError):
        log.warning("a message that cannot be read was dropped; it names job %r", job_id)
    else:
        log.warning("a message that cannot be read was dropped; job %s has a better one, published again", job_id)


def _restarts(lost: Lost) -> int:
    return int(json.loads(lost.restarts).get("abort", 0)) if lost.restarts else 0

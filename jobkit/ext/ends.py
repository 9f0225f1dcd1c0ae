"""How a run that ended in Celery's words ends in ours."""

from __future__ import annotations

import logging
import traceback as traces
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery import states as celery_states
from celery.exceptions import Retry

from jobkit.errors import Fenced, IllegalTransition, JobNotFound
from jobkit.ext import hooks, identity, messages
from jobkit.model import Ending, Failure
from jobkit.running import RunningJob, find
from jobkit.states import Outcome, State
from jobkit.store import End, Settled, Verdict
from jobkit.store.values import operation, plain

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

log = logging.getLogger("jobkit")

#: How the exceptions that stand for more than an error end a run, and the cause a policy knows them by.
#: Some end one that nobody could claim: its process died before, or no worker knows the task.
_BY_EXCEPTION: tuple[tuple[type[BaseException], tuple[str, ...], Outcome, str], ...] = (
    (WorkerLostError, ("?claim", "abort"), Outcome.FAILED, "abort"),
    (TimeLimitExceeded, ("?claim", "?time_over", "kill"), Outcome.KILLED, ""),
    (SoftTimeLimitExceeded, ("?time_over", "?confirm_timeout", "?fail"), Outcome.FAILED, "timeout"),
)
_REVOKED = ("?remove", "?confirm_removal", "?kill", "?cancel", "?kill")
#: What a job that was killed is told, and what Celery says of one that it terminated.
KILLED = "killed: it did not end itself within its grace period"
_OUTCOMES = {KILLED: Outcome.KILLED, "terminated": Outcome.KILLED, "cancelled": Outcome.STOPPED}
_NEVER_STARTED = ("submit_after", "remove", "confirm_removal")
_FAIL = ("?claim", "fail")
#: What Celery says of a task that was replaced by others, and what its job is told: they say how it ends.
REPLACED = "Replaced by new task"
GOES_ON = "replaced by others, which go on under its id"
#: Begins the walk of an end that another run follows: it is refused of a job that a user wants to end.
UNLESS_CANCELLED = "?confirm_cancel"
#: How a job that nobody submitted begins its path: one that was run eagerly.
STARTED = ("submit", "claim")


def failure(exc: Any, traceback: Any = None) -> Failure | None:
    """An exception as text."""
    if not isinstance(exc, BaseException):
        return None
    text = traceback if isinstance(traceback, str) else "".join(traces.format_exception(exc))
    return Failure(type(exc).__qualname__, plain(str(exc))[:2000], plain(text)[-8000:])


def end_of(state: str, result: Any, traceback: Any, job: RunningJob | None, meta: str | bytes = "") -> End:
    """The walk through the graph, outcome and message for one of Celery's states."""
    common: dict[str, Any] = {"meta": meta, "facts": job.last_words() if job else {}}
    if state == celery_states.SUCCESS:
        outcome, note = (job.outcome, job.message) if job else (Outcome.SUCCEEDED, "")
        again = job.plan if job else None
        return End(("finish",), outcome, note, born=(*STARTED, "finish"), **again_at(again), **common)
    if state == celery_states.REVOKED:
        verbs: tuple[str, ...] = (
            ("confirm_cancel",) if job and job.stop_reason is State.CANCELLING_BY_USER else _REVOKED
        )
        return End(verbs, _OUTCOMES.get(str(result), Outcome.REMOVED), str(result), born=_NEVER_STARTED, **common)
    if state == celery_states.IGNORED and str(result) == REPLACED:
        return End(("finish",), Outcome.STOPPED, GOES_ON, replaced=True, **common)
    if state == celery_states.IGNORED:
        return End(("finish",), Outcome.STOPPED, "the task asked to be ignored", **common)
    cause = (result.exc or result) if isinstance(result, Retry) else result
    verbs, outcome, _ = kind_of(cause)
    born = _NEVER_STARTED if verbs == _FAIL else (*STARTED, "fail")
    if state == celery_states.RETRY:
        verbs = (UNLESS_CANCELLED, *verbs)
    return End(verbs, outcome, str(cause)[:500], failure(cause, traceback), born=born, **common)


def again_at(plan: float | str | None) -> dict[str, Any]:
    """What a job planned for its next run, as an `End` has it."""
    return {"paused": True} if plan == "never" else {"again": plan}


def kind_of(cause: Any) -> tuple[tuple[str, ...], Outcome, str]:
    """How an exception ends a run: the walk, the outcome, and the cause a policy knows it by."""
    for kind, verbs, outcome, name in _BY_EXCEPTION:
        if isinstance(cause, kind):
            return verbs, outcome, name
    return _FAIL, Outcome.FAILED, "error"


def holder_of(job_id: str, request: Any) -> Settled:
    """Who writes: this process's own run, the worker for a child of its that died, who settles an end, the manager."""
    if (settling := _settling.get()) and settling[0] == job_id:
        return settling[1]
    if running := find(job_id):
        return running.holder
    headers = request if isinstance(request, dict) else getattr(request, "__dict__", {})
    run = headers.get(messages.RUN_HEADER)
    return Settled(run, "", identity.worker())


_settling: ContextVar[tuple[str, Settled] | None] = ContextVar("jobkit_settling", default=None)


@contextmanager
def holding(job_id: str, holder: Settled) -> Iterator[None]:
    """Who ends this job inside writes as `holder`."""
    token = _settling.set((job_id, holder))
    try:
        yield
    finally:
        _settling.reset(token)


def finish_run(jobs: JobKit, task: Any, job_id: str, holder: Settled, end: End, reason: str = "") -> bool:
    """Record an end, publish what follows from it, and tell the job; False if it was refused.

    A run that belongs to somebody else by now, or has ended already, keeps what is recorded: this result is dropped.
    That is said loudly by the process that ran it; a worker's main process often hears of one end twice.
    """
    running = find(job_id)
    if hooks.hook_of(task):
        end = end._replace(hook=running is None, here=running is not None)
    if (keep := jobs.keep(task, end.outcome)) != end.keep:
        end = end._replace(keep=keep)
    verdict = _finish(jobs, job_id, holder, end, reason, running)
    if running:
        running.ended = verdict is not None or not _was_cancelled(end, running)
    if (
        verdict
        and State(verdict.state).is_live
        and end.again is None
        and not (end.paused or end.replaced)
        and verdict.code == "ok"
    ):
        end = end._replace(here=False)  # its children, or what it undoes, come before its end
    if verdict:
        jobs.publish(verdict)
    if verdict and end.here and running:
        ending = Ending(State(verdict.state), verdict.run, end.outcome, end.note, end.failure)
        hook = (verdict.run, operation(), holder.worker)
        if jobs.store.tell(job_id, hook):
            hooks.tell(jobs, task, running, ending, hook, end)
    return verdict is not None


def _finish(
    jobs: JobKit, job_id: str, holder: Settled, end: End, reason: str, running: RunningJob | None
) -> Verdict | None:
    # What a body has left is reported however late: the process that ran it has nothing better to do.
    stubborn = running is not None and identity.in_worker()
    try:
        if running and holder.token and end.born:
            with suppress(JobNotFound):
                return jobs.store.finish(job_id, holder, end, reason, stubborn=stubborn, recorded=True)
            log.error(
                "Redis has lost the record of job %s while it ran: its end (%s) is recorded anew", job_id, end.outcome
            )
            end = end._replace(facts={**end.facts, "task": running.task})
        return jobs.store.finish(job_id, holder, end, reason, stubborn=stubborn)
    except (Fenced, IllegalTransition, JobNotFound) as exc:
        level = logging.WARNING if running else logging.DEBUG
        if running and isinstance(exc, IllegalTransition) and end.verbs[0] == UNLESS_CANCELLED:
            running.stop.tell(State(exc.source))
            level = logging.INFO
        log.log(level, "the end of job %s (%s) was refused and dropped: %s", job_id, end.outcome, exc)
        return None


def _was_cancelled(end: End, running: RunningJob) -> bool:
    return end.verbs[0] == UNLESS_CANCELLED and running.stop_reason is State.CANCELLING_BY_USER

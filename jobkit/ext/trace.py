"""The claim: between the message and the body, in the process that runs the body.

It stands around the tracer, not in `before_start`: a duplicate delivery is dropped before Celery tells anybody that the
task starts, and no hook a user overrides can leave it out.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionInfo
from celery import states as celery_states
from celery.app.task import Context
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Ignore

from jobkit.errors import JobNotFound, StoreError
from jobkit.ext import amqp, ends, hooks, identity, kill, messages, orders, restarts, settling
from jobkit.ext.backend import Recording
from jobkit.ext.family import Family
from jobkit.model import Ending
from jobkit.running import RunningJob, StopRequested, begin, leave
from jobkit.states import Outcome, State
from jobkit.stopping import StopSwitch
from jobkit.store import Claim, JobStore, Plan, Settled, queries
from jobkit.store.values import operation

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

log = logging.getLogger("jobkit")

#: What a job that was aborted before its start is told.
ABORTED = "aborted before it started"
Tracer = Callable[..., Any]
#: In place of what a claim would record of a job of which nobody has: there is a record.
_RECORDED = Plan("", "", "")


class JobStopped(StopRequested, Ignore):
    """The run was told to end, and does: for Celery, and all that watch it, no error."""


RunningJob.stop_exception = JobStopped


class Claiming:
    """What stands in a task class's place for its tracer: Celery sets one, calls get it with the claim around it."""

    def __get__(self, task: Any, owner: Any = None) -> Tracer | None:
        return None if task is None else task.__dict__.get("_claiming_tracer")

    def __set__(self, task: Any, tracer: Tracer | None) -> None:
        task.__dict__["_claiming_tracer"] = tracer and _claiming(task, tracer)


def _claiming(task: Any, tracer: Tracer) -> Tracer:
    def trace(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        request = request or {}
        if request.get("is_eager"):
            return tracer(uuid, args, kwargs, request)
        if _lacks_locks(task, uuid, request):
            return _submit_with_locks(task, request, args, kwargs)
        return _receive(task, tracer, uuid, args, kwargs, request)

    return trace


def _receive(task: Any, tracer: Tracer, uuid: str, args: Any, kwargs: Any, request: dict[str, Any]) -> Any:
    jobs: JobKit = task.app.jobkit
    seen = orders.reader()()  # before the claim: what is ordered from then on may be for this run
    holder, claim = _claim(jobs, task, uuid, request, args, kwargs)
    if claim.hook:
        _tell_of(jobs, task, uuid, holder.token, claim)
    if claim.code == "removing":
        context = Context(request, args=args, kwargs=kwargs, called_directly=False)
        return _remove(jobs, task, uuid, claim, context)
    if claim.code == "hook":
        return _dropped()
    if claim.code not in ("ok", "again"):
        level = logging.INFO if claim.code == "blocked" else logging.WARNING
        log.log(level, "delivery of %s[%s] dropped: %s", task.name, uuid, _why(claim))
        return _dropped()
    args, kwargs = _as_defined(claim, args, kwargs)
    if claim.run > 1 and _was_given_back(jobs, uuid, claim.run - 1):
        # The next run has a message of its own; to the task it is the same one, delivered once more.
        request["delivery_info"] = {**(request.get("delivery_info") or {}), "redelivered": True}
    if parent := request.get(messages.RESULTS_HEADER):
        args = (settling.results(jobs, parent), *args[1:])
    job = begin(uuid, task.name, jobs.store, holder, claim)
    job.stop = StopSwitch(orders.reader(), partial(_where, jobs.store, job), orders.lapsed, seen)
    return _run(jobs, task, job, tracer, args, kwargs, request)


def _lacks_locks(task: Any, uuid: str, request: dict[str, Any]) -> bool:
    """Was it sent by somebody who did not know the locks of the task's policy, and has not begun?"""
    policy = getattr(task, "policy", None)
    if policy is None or not getattr(policy, "locks", ()) or request.get(messages.LOCKS_HEADER):
        return False
    jobs: JobKit = task.app.jobkit
    store, names = jobs.store, ["state", "locks", "message"]
    found: Any = store.call(lambda: store.client.hmget(store.keys.job(uuid), names))
    state, locks, message = found
    if state is None:
        return jobs.settings.unrecorded
    genuine = messages.kept_digest((message or b"").decode()) in ("", request.get(messages.DIGEST_HEADER))
    return not locks and genuine and state == State.QUEUED.value.encode()


def _submit_with_locks(task: Any, request: dict[str, Any], args: Any, kwargs: Any) -> Any:
    """Who sent it did not know what it has to hold: it is submitted once more, and waits like any other."""
    context = Context(request, args=args, kwargs=kwargs, called_directly=False)
    task.signature_from_request(context, args, kwargs).apply_async()
    return _dropped()


def _claim(
    jobs: JobKit, task: Any, uuid: str, request: dict[str, Any], args: Any, kwargs: Any
) -> tuple[Settled, Claim]:
    run, token = request.get(messages.RUN_HEADER), operation()
    if run is not None and not isinstance(run, int):
        run = 0  # forged: there is no such run
    delivery = request.get("delivery_info") or {}
    queue = delivery.get("routing_key") or ""
    # A client without jobkit kept nothing that could be published again: what came is kept now.
    plan = _RECORDED
    if run is None:
        message = messages.received(task.app, task, request, args, kwargs, queue)
        plan = Plan(uuid, task.name, message, kin=amqp.kin_of(request), facts=amqp.facts(request, queue))
    redelivered = bool(delivery.get("redelivered"))
    worker, policy = (
        identity.worker(),
        restarts.policy_of(task, jobs.settings.max_rescues, twice=bool(request.get(messages.UNDO_HEADER))),
    )
    claim = jobs.store.claim(
        uuid,
        run,
        token,
        worker,
        os.getpid(),
        redelivered=redelivered,
        plan=plan,
        digest=request.get(messages.DIGEST_HEADER) or "",
        unrecorded=jobs.settings.unrecorded,
        run_time=policy.max_run_time,
        facts={"policy": policy.to_text(), "grace": int(policy.grace * 1000)} if policy.restart_on else None,
        stubborn=identity.in_worker(),
    )
    return Settled(claim.run, token, worker), claim


def _as_defined(claim: Claim, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The arguments of a definition's job as they are now; those of its message where the definition has none."""
    if not claim.newest:
        return args, kwargs
    newest_args, data, _ = claim.newest
    return (json.loads(newest_args), json.loads(data)) if newest_args and data else (args, kwargs)


def _was_given_back(jobs: JobKit, uuid: str, run: int) -> bool:
    return any(step.run == run and step.target is State.ABORTED_RESTART for step in jobs.history(uuid))


def _tell_of(jobs: JobKit, task: Any, uuid: str, token: str, claim: Claim) -> None:
    """A run ended where nobody could tell the job: its process died, or it was revoked or killed from outside."""
    run, worker = int(claim.hook), identity.worker()
    if not hooks.hook_of(task):
        return hooks.done(jobs, uuid, (run, token, worker))
    job = RunningJob(uuid, task.name, jobs.store, Settled(run, "", worker), claim)
    found, path = jobs.get(uuid), jobs.runs(uuid)
    state = next((one.state for one in path if one.number == run), found.state)
    outcome = found.outcome or Outcome.FAILED
    ending = Ending(state, run, outcome, found.message, found.failure, found.failed_child, found.failed_compensations)
    hooks.tell(jobs, task, job, ending, (run, token, worker))


def _why(claim: Claim) -> str:
    if claim.code == "missing":
        return "there is no record of it"
    if claim.code == "altered":
        return "it is not the one that was submitted; that is published again"
    if claim.code == "stale":
        return f"it is for another run, the job is at run {claim.run} ({claim.state})"
    return f"the job is {claim.state}" + (f", claimed by {claim.worker.partition('|')[0]}" if claim.worker else "")


def _run(
    jobs: JobKit, task: Any, job: RunningJob, tracer: Tracer, args: Any, kwargs: Any, request: dict[str, Any]
) -> Any:
    job.stop.then = partial(_follow_nothing, request)
    job.family = Family(jobs, job, request)
    if _is_lost(job):
        log.warning("%s[%s] is not begun: run %s is another worker's by now", task.name, job.id, job.run)
        leave(job)
        return _dropped()
    try:
        traced = tracer(job.id, args, kwargs, request)
    except BaseException:
        if not job.killed:
            raise
        traced = _dropped()
    finally:
        kill.spare(job)
        job.close()
    try:
        if not job.ended:
            context = Context(request, args=args, kwargs=kwargs, called_directly=False)
            _settle_what_the_backend_did_not(jobs, task, job, traced, context)
        return traced
    finally:
        leave(job)


def _is_lost(job: RunningJob) -> bool:
    with suppress(StoreError, JobNotFound):
        return job.stop.is_lost()
    return False


def _where(store: JobStore, job: RunningJob) -> State:
    """Where the run stands; ABORTED if somebody else has it by now, and its writes count for nothing.

    Of one whose record Redis has lost nobody wants anything: it goes on.
    """
    try:
        found = queries.fields(store, job.id, "run", "token")
    except JobNotFound:
        return State.RUNNING
    mine = found.get("run") == str(job.run) and found.get("token") == job.holder.token
    return State(found["state"]) if mine else State.ABORTED


def _follow_nothing(request: dict[str, Any]) -> None:
    """The run was told to end: what was to follow its success does not, however its body returns."""
    for name in ("callbacks", "chain"):
        if request.get(name):
            request[name].clear()


def _settle_what_the_backend_did_not(jobs: JobKit, task: Any, job: RunningJob, traced: Any, context: Context) -> None:
    """It was told to end, or killed; or the result went to another backend, or nowhere (Ignore): the run still ends."""
    state = traced.info.state if traced.info else celery_states.SUCCESS
    if job.killed:
        task.backend.mark_as_revoked(job.id, ends.KILLED, request=context, store_result=not task.ignore_result)
        state, result = celery_states.REVOKED, ends.KILLED
    elif job.stop_reason and state in (celery_states.IGNORED, celery_states.SUCCESS):
        restarts.obey(jobs, task, job, context)
        return
    elif state == celery_states.REJECTED:
        if traced.info.retval.requeue and _where(jobs.store, job) is State.CANCELLING_BY_USER:
            job.stop.tell(State.CANCELLING_BY_USER)
            restarts.obey(jobs, task, job, context)
        return  # the worker's main process decides: requeued or failed
    else:
        result = traced.info.retval if traced.info else traced.retval
    if not job.ended:
        end = ends.end_of(state, result, None, job)
        if end.replaced and not isinstance(task.backend, Recording):
            end = end._replace(replaced=False)  # how its canvas fails is told to another backend only
        ends.finish_run(jobs, task, job.id, job.holder, end)
    if not job.ended:  # it was to be tried again, and was cancelled meanwhile
        restarts.obey(jobs, task, job, context)


def _remove(jobs: JobKit, task: Any, uuid: str, claim: Claim, context: Context) -> Any:
    """Aborted before it started: the queue brought it here so that it can react; chords and clients hear of it."""
    job = begin(uuid, task.name, jobs.store, Settled(None, "", identity.worker()), claim)
    job.run = claim.run
    try:
        task.backend.mark_as_revoked(uuid, ABORTED, request=context, store_result=not task.ignore_result)
        if not job.ended:
            end = ends.end_of(celery_states.REVOKED, ABORTED, None, job)
            ends.finish_run(jobs, task, uuid, job.holder, end)
    finally:
        leave(job)
    return _dropped()


def _dropped() -> Any:
    # What Celery's own tracer answers for a task that raised Ignore: the message is acknowledged, nothing is stored.
    try:
        raise Ignore
    except Ignore as exc:
        return trace_ok_t(ExceptionInfo(internal=True), TraceInfo(celery_states.IGNORED, exc), 0.0, None)

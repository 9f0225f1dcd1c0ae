"""What is next for a job whose children, or compensations, come before its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from billiard.exceptions import SoftTimeLimitExceeded
from celery import states as celery_states
from celery.app.task import Context
from celery.canvas import maybe_signature
from celery.exceptions import TaskRevokedError

from jobkit.errors import ChildFailed, JobUnknown
from jobkit.ext import ends, identity, messages, restarts
from jobkit.ext.backend import Recording
from jobkit.model import Failure
from jobkit.states import VERBS, Category, Outcome, State
from jobkit.store import End, Settled, families
from jobkit.store.families import Kept

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

_VERB_TO = {verb.target: verb.name for verb in VERBS.values() if verb.target.category is Category.ENDED}


def run_once(jobs: JobKit) -> int:
    """One round: go on with every job somebody should have gone on with; returns how many."""
    found = families.unsettled(jobs.store)
    for job_id in found:
        settle(jobs, job_id)
    return len(found)


def settle(jobs: JobKit, job_id: str) -> None:
    """Abort what has to end with this job, undo what it did, continue, or end it: whatever is next."""
    try:
        kept = families.look(jobs.store, job_id)
    except JobUnknown:
        return families.is_settled(jobs.store, job_id)
    if kept.is_stopped and kept.alive:
        _abort_below(jobs, job_id, kept)
    ending = kept.ending
    if ending is None:
        return None if kept.is_stopped else families.is_settled(jobs.store, job_id)
    return None if kept.alive else _go_on(jobs, job_id, kept, ending)


def _abort_below(jobs: JobKit, job_id: str, kept: Kept) -> None:
    why = "failed" if kept.ending else "was told to end"
    jobs.abort_many(families.live(jobs.store, job_id), f"its parent {job_id} {why}")


def _go_on(jobs: JobKit, job_id: str, kept: Kept, ending: dict[str, Any]) -> None:
    state = kept.state
    told, failed = "told" in kept.fields, kept.fields.get("failed", "")
    well = ending["target"] == State.FINISHED and not told and not failed
    cause = _blame(jobs, failed) if ending["target"] == State.FINISHED and failed and not told else None
    holder = Settled(int(kept.fields["run"]), kept.fields["token"], identity.worker())
    task = jobs.app.tasks.get(kept.fields.get("task", ""))
    if cause and state is not State.ROLLING_BACK and _run_again(jobs, task, job_id, kept, holder, cause):
        return
    verdict = families.settle(jobs.store, job_id, identity.name(), bad=not well)
    jobs.publish(verdict)
    if verdict.code != "end":
        return
    with ends.holding(job_id, holder):
        if well:
            _finish(jobs, task, job_id, kept, ending)
        else:
            _end_badly(jobs, task, job_id, kept, ending, cause)


def _blame(jobs: JobKit, child: str) -> ChildFailed:
    """What a child that failed says to its parent."""
    (found,) = families.read(jobs.store, [child], ("task", "state", "note", "failure"))
    failure = json.loads(found["failure"]) if found.get("failure") else ["", found.get("note", "")]
    reason = ": ".join(filter(None, failure[:2])) or "no reason is known"
    return ChildFailed(child=child, task=found.get("task", "?"), state=found.get("state", "gone"), reason=reason)


def _run_again(jobs: JobKit, task: Any, job_id: str, kept: Kept, holder: Settled, cause: ChildFailed) -> bool:
    """Its body was done, but a child failed: its policy may have it try once more; what went well is not done again."""
    policy = getattr(task, "policy", None)
    if policy is None:
        return False
    end = End(("fail",), Outcome.FAILED, str(cause)[:500], ends.failure(cause))
    end = restarts.with_restart(end, policy, "error", kept.fields.get("restarts", ""))
    if end.again is None:
        return False
    with ends.holding(job_id, holder):
        return ends.finish_run(jobs, task, job_id, holder, end, end.note[:200])


def _end_of(jobs: JobKit, ending: dict[str, Any], target: State, meta: bytes) -> End:
    """The end that was kept, and what was said of it."""
    flat = ending["fields"]
    said = dict(zip(flat[::2], flat[1::2], strict=True))
    facts = {name: said[name] for name in ("progress", "restarts") if name in said}
    failure = Failure(*json.loads(said["failure"])) if "failure" in said else None
    outcome, note = Outcome(said["outcome"]), said.get("note", "")
    return End((_VERB_TO[target],), outcome, note, failure, meta, facts=facts)


def _finish(jobs: JobKit, task: Any, job_id: str, kept: Kept, ending: dict[str, Any]) -> None:
    """Everything is done: what was to follow its success follows now."""
    context = messages.context(jobs.app, kept.fields["message"], int(kept.fields["run"]))
    backend = task.backend if task else jobs.app.backend
    ours = isinstance(backend, Recording)
    result = backend.decode_result(kept.endmeta)["result"] if ours else backend.get_result(job_id)
    deferred = "deferred" in ending["fields"]
    if deferred:
        _follow(jobs, job_id, context, result)
    ignored = bool(getattr(task, "ignore_result", False) or context.ignore_result)
    end = _end_of(jobs, ending, State.FINISHED, b"" if ignored else kept.endmeta)
    ends.finish_run(jobs, task, job_id, ends.holder_of(job_id, {}), end, end.note[:200])
    if deferred and context.chord:
        backend.on_chord_part_return(context, celery_states.SUCCESS, result)


def _follow(jobs: JobKit, job_id: str, context: Context, result: Any) -> None:
    """Its links and the rest of its chain, as Celery's tracer sends them."""
    options = {"parent_id": job_id, "root_id": context.root_id or job_id}
    for callback in context.callbacks or ():
        maybe_signature(callback, jobs.app).apply_async((result,), **options)
    if context.chain:
        following = maybe_signature(context.chain[-1], jobs.app)
        following.apply_async((result,), chain=context.chain[:-1], **options)


def _end_badly(
    jobs: JobKit, task: Any, job_id: str, kept: Kept, ending: dict[str, Any], cause: ChildFailed | None
) -> None:
    """It failed, was told to end, or a child failed; what it had done is undone by now."""
    backend, holder = (task.backend if task else jobs.app.backend), ends.holder_of(job_id, {})
    context = messages.context(jobs.app, kept.fields["message"], int(kept.fields["run"]))
    if ending["target"] != State.FINISHED:
        end = _end_of(jobs, ending, State(ending["target"]), kept.endmeta)  # chords and errbacks have heard of it
    elif cause:
        backend.mark_as_failure(job_id, cause, request=context)
        end = End(("fail",), Outcome.FAILED, str(cause)[:500], ends.failure(cause))
        if isinstance(backend, Recording):
            return
    else:
        end = _told_to(jobs, backend, job_id, kept, context)
    ends.finish_run(jobs, task, job_id, holder, end, end.note[:200])


def _told_to(jobs: JobKit, backend: Any, job_id: str, kept: Kept, context: Context) -> End:
    """It was told to end while its children were at work."""
    by_user = kept.fields.get("told") != State.CANCELLING_BY_SYSTEM
    verb, outcome, note = ("confirm_cancel", Outcome.STOPPED, "cancelled")
    if not by_user:
        verb, outcome, note = ("confirm_timeout", Outcome.FAILED, "its maximum run time was over")
    state = celery_states.REVOKED if by_user else celery_states.FAILURE
    exc = TaskRevokedError(note) if by_user else SoftTimeLimitExceeded(note)
    meta = backend.payload(job_id, exc, state, None, context) if isinstance(backend, Recording) else ""
    end = End((verb,), outcome, note, None if by_user else ends.failure(exc), meta)
    if context.chord:
        backend.on_chord_part_return(context, state, exc)
    return end


def results(jobs: JobKit, job_id: str) -> list[Any]:
    """The results of a job's children, in order; None for one that did not end well."""
    found = families.results(jobs.store, job_id)
    return [jobs.app.backend.decode_result(meta)["result"] if meta else None for meta in found]

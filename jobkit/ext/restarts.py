"""What a policy makes of an end: another run, with what the last one left."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from billiard.exceptions import SoftTimeLimitExceeded

from jobkit.errors import InvalidOption, JobNotFound, StoreError
from jobkit.ext import ends
from jobkit.policy import Policy
from jobkit.running import RunningJob
from jobkit.states import Outcome, State
from jobkit.store import End, queries

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

#: What was told to end for good is not run again, whatever ends it.
UNWANTED = (State.CANCELLING_BY_USER,)


def policy_of(task: Any, max_rescues: int, *, twice: bool = False) -> Policy:
    """The task's policy; without one, what its Celery options promise: early ack means "at most once".

    A compensation may always run `twice`: it has to be done.  Raises: `InvalidOption` for a `policy` that is none.
    """
    policy = getattr(task, "policy", None)
    if policy is not None and not isinstance(policy, Policy):
        raise InvalidOption(option="policy", value=policy, allowed="must be a jobkit.Policy")
    if policy:
        return policy
    return _promised(
        twice or bool(task.acks_late or task.reject_on_worker_lost or task.retry_on_worker_lost), max_rescues
    )


@cache
def _promised(twice: bool, max_rescues: int) -> Policy:
    return Policy(max_restarts=max_rescues, restart_on=("abort", "shutdown") if twice else ())


def again(policy: Policy, cause: str, so_far: str) -> tuple[float, str] | None:
    """Seconds until the job is to run again after this end, and the restarts to remember; None if it is not.

    `so_far` is what the record remembers of earlier restarts, per cause.
    """
    counts: dict[str, int] = json.loads(so_far) if so_far else {}
    if not policy.restarts(cause, counts):
        return None
    done = counts.get(cause, 0)
    delay = policy.backoff.delay(done) if cause in ("error", "timeout") else 0.0
    return delay, json.dumps({**counts, cause: done + 1})


def so_far(jobs: JobKit, job_id: str, known: str = "") -> str | None:
    """The restarts the record remembers; None of a job that a user wants to end, whatever it dies of meanwhile.

    What is `known` where the record does not answer: the end itself can wait for it.
    """
    try:
        found = queries.fields(jobs.store, job_id, "restarts")
    except (JobNotFound, StoreError):
        return known
    return None if found["state"] in UNWANTED else found.get("restarts", "")


def with_restart(end: End, policy: Policy, cause: str, so_far: str) -> End:
    """The same end, followed by another run if the policy has it so; refused of a job that is cancelled meanwhile."""
    plan = again(policy, cause, so_far)
    if plan is None:
        return end
    verbs = (ends.UNLESS_CANCELLED, *end.verbs)
    return end._replace(verbs=verbs, again=plan[0], facts={**end.facts, "restarts": plan[1]})


def obey(jobs: JobKit, task: Any, job: RunningJob, context: Any) -> None:
    """Record the end of a run that was told to end, and did; chords and clients hear of the ends that are final."""
    note = str(_NOTES.get(job.stop_reason))
    common: dict[str, Any] = {"facts": job.last_words()}
    end = None
    if job.stop_reason is State.PAUSE_REQUEST:
        end = End(("finish",), Outcome.STOPPED, note, paused=True, **common)
    elif job.stop_reason is State.SHUTDOWN_REQUEST:
        # It ended itself and was not cut off in the middle: it may always go on elsewhere.
        end = End(("confirm_shutdown",), Outcome.STOPPED, note, again=0.0, **common)
    elif job.stop_reason is State.ABORTED:
        # The same, unless another worker has it by now: then this is refused and dropped.
        end = End(("abort",), Outcome.STOPPED, note, again=0.0, **common)
    elif job.stop_reason is State.CANCELLING_BY_SYSTEM:
        task.backend.mark_as_failure(job.id, SoftTimeLimitExceeded(note), request=context)
        end = End(("confirm_timeout",), Outcome.FAILED, note, **common)
    elif job.stop_reason is State.CANCELLING_BY_USER:
        task.backend.mark_as_revoked(job.id, note, request=context, store_result=not task.ignore_result)
        end = End(("confirm_cancel",), Outcome.STOPPED, note, **common)
    if end and not job.ended:
        ends.finish_run(jobs, task, job.id, job.holder, end, note)


_NOTES: dict[State | None, str] = {
    State.PAUSE_REQUEST: "paused",
    State.SHUTDOWN_REQUEST: "its worker went down",
    State.ABORTED: "its worker could not prove itself alive, and told it to end",
    State.CANCELLING_BY_SYSTEM: "its maximum run time was over",
    State.CANCELLING_BY_USER: "cancelled",
}

"""What the worker's main process knows of a job: a child that died, a message that goes back, a revoke.

Celery subclasses this class once more per task and replaces `on_success` and `execute_using_pool` without calling ours
(`create_request_cls`): a success is recorded in the child.  All that runs here for a message that goes well is
its digest, and one `append` when it is acknowledged.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from datetime import datetime, timezone
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import states as celery_states
from celery.exceptions import Reject
from celery.worker import state as worker_state
from celery.worker.request import Request

from jobkit.errors import JobNotFound, StoreError
from jobkit.ext import acks, ends, identity, lost, messages, restarts
from jobkit.ext.backend import Recording
from jobkit.ext.processes import family
from jobkit.running import runs
from jobkit.states import Outcome, State
from jobkit.store import End, queries

#: How a run ends whose message goes back to the queue.
GIVEN_BACK = End((ends.UNLESS_CANCELLED, "?claim", "abort"), Outcome.FAILED, "given back to the queue", again=0.0)


def busy() -> set[str]:
    """The ids of all this worker runs or has reserved: Celery forgets the running ones when its broker was away."""
    return {*worker_state.requests, *begun()}


def begun() -> set[str]:
    """The ids of what this worker runs."""
    return {*(one.id for one in tuple(worker_state.active_requests)), *runs}


def find(job_id: str) -> Any:
    """The request of a job this worker runs or has reserved, None if there is none."""
    running = (one for one in tuple(worker_state.active_requests) if one.id == job_id)
    return worker_state.requests.get(job_id) or next(running, None)


class JobRequest(Request):
    """A request whose job's end is recorded also where no result backend of ours sees it."""

    _crashed = _given_back = False

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        self._request_dict[messages.DIGEST_HEADER] = messages.digest(message.headers, message.body)

    def maybe_expire(self) -> bool | None:
        """Expired?  Only what was submitted so: anybody may have written a message."""
        now = self.expires and datetime.now(timezone.utc if self.expires.tzinfo else None)
        return super().maybe_expire() if now and now > self.expires and self._is_genuine() else None

    def _is_genuine(self) -> bool:
        try:
            kept = queries.fields(self._jobs.store, self.id, "message").get("message", "")
        except JobNotFound:
            return bool(self._jobs.settings.unrecorded)
        except StoreError:
            return True  # what follows says so
        return messages.kept_digest(kept) in ("", self._request_dict[messages.DIGEST_HEADER])

    def acknowledge(self) -> None:
        """Acknowledge the message; one that does not arrive is acknowledged again."""
        if not self.acknowledged:
            super().acknowledge()
            acks.sent.append(self._message)

    def reject(self, requeue: bool = False) -> None:
        """A message that goes back to the queue is a run that ended: the next one gets a message of its own."""
        if requeue and not self.acknowledged:
            self._given_back = self._lose() if self._crashed else self._finish(GIVEN_BACK) or self._is_over()
            requeue = not self._given_back
        super().reject(requeue=requeue)

    def _is_over(self) -> bool:
        """Has it ended, and wants no message any more, as one that was cancelled?"""
        with suppress(StoreError, JobNotFound):
            return not State(queries.fields(self._jobs.store, self.id, "state")["state"]).is_live
        return False

    def _say_what_was_cut_off(self) -> None:
        with suppress(StoreError, JobNotFound):  # what follows says so
            hook = queries.fields(self._jobs.store, self.id, "hook").get("hook", "")
            if hook.endswith(f" {identity.worker()}") and not hook.startswith(
                f"{self._request_dict.get(messages.RUN_HEADER)} "
            ):
                lost.hook_cut_off(self._jobs, self.id, self.name, hook)

    def _lose(self) -> bool:
        """Its process died: it runs again, or is failed where that has happened too often."""
        exc, ours = WorkerLostError("its process died"), isinstance(self.task.backend, Recording)
        if ours or not self._runs_again(exc):
            self.task.backend.mark_as_failure(self.id, exc, request=self._context, store_result=self.store_errors)
            return ours or self._settle(celery_states.FAILURE, exc)
        return True

    def _runs_again(self, exc: WorkerLostError) -> bool:
        policy = restarts.policy_of(self.task, self._jobs.settings.max_rescues)
        so_far = restarts.so_far(self._jobs, self.id)
        end = ends.end_of(celery_states.FAILURE, exc, None, None)
        end = end if so_far is None else restarts.with_restart(end, policy, "abort", so_far)
        return end.again is not None and self._finish(end)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """The child died or the task was rejected; a failure inside the child is recorded there."""
        if not return_ok and not self._is_genuine():
            worker_state.task_ready(self)
            return self.acknowledge()
        exc = getattr(exc_info.exception, "exc", exc_info.exception)
        self._crashed = isinstance(exc, WorkerLostError)
        if self._crashed:
            self._say_what_was_cut_off()
        if isinstance(exc, Reject) and self.acknowledged:
            exc.requeue = False  # it cannot go back any more: it ends like one that shall not
        try:
            answer = super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        except MemoryError:
            # Celery ends the whole worker for it, and others' jobs too.  It was the body's: it is recorded, and over.
            answer = None
            self.acknowledge()
        if not return_ok and not self._given_back and not isinstance(self.task.backend, Recording):
            self._settle(celery_states.FAILURE, exc)
        return answer

    def _retry_worker_lost(self, exc: Any, exc_info: Any) -> bool:
        retried: bool = super()._retry_worker_lost(exc, exc_info)
        if retried and not self.store_errors and isinstance(self.task.backend, Recording):
            self._settle(celery_states.RETRY, exc)  # Celery stores no retry of an ignored result
        return retried

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The hard limit kills the child, and here what it has started; a forged one ends no job."""
        if not self._is_genuine():
            return
        with family(self.worker_pid) if not soft and self.worker_pid else nullcontext():
            super().on_timeout(soft, timeout)
        if not soft and not isinstance(self.task.backend, Recording):
            self._settle(celery_states.FAILURE, TimeLimitExceeded(timeout))

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        super()._announce_revoked(reason, terminated, signum, expired)
        if not isinstance(self.task.backend, Recording):
            self._settle(celery_states.REVOKED, reason)

    def _settle(self, state: str, result: Any) -> bool:
        return self._finish(ends.end_of(state, result, None, None))

    def _finish(self, end: End) -> bool:
        holder = ends.holder_of(self.id, self.request_dict)
        return ends.finish_run(self._jobs, self.task, self.id, holder, end, end.note[:200])

    @property
    def _jobs(self) -> Any:
        return self.app.jobkit

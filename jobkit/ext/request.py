"""What the worker's main process knows of a job: a child that died, a message that goes back, a revoke.

Celery subclasses this class once more per task and replaces `on_success` and `execute_using_pool` without calling ours
(`create_request_cls`): a success is recorded in the child.  Nothing here runs on the path of a message that goes well.
"""

from __future__ import annotations

from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import states as celery_states
from celery.exceptions import Reject
from celery.worker.request import Request

from jobkit.ext import ends, messages
from jobkit.ext.backend import Recording
from jobkit.states import Outcome
from jobkit.store import End


class JobRequest(Request):
    """A request whose job's end is recorded also where no result backend of ours sees it."""

    _crashed = False

    def reject(self, requeue: bool = False) -> None:
        """A message that goes back to the queue is a run that ended: the next one gets a message of its own."""
        if requeue and not self.acknowledged and messages.RUN_HEADER in self.request_dict:
            end = End(("abort",), Outcome.FAILED, "given back to the queue", again=0.0)
            if self._crashed:
                exc = WorkerLostError("its process died")
                self.task.backend.mark_as_failure(self.id, exc, request=self._context, store_result=self.store_errors)
                requeue = not isinstance(self.task.backend, Recording)
            elif ends.finish_run(
                self._jobs, self.task, self.id, ends.holder_of(self.id, self.request_dict), end, end.note
            ):
                requeue = False
        super().reject(requeue=requeue)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """The child died or the task was rejected; a failure inside the child is recorded there."""
        exc = getattr(exc_info.exception, "exc", exc_info.exception)
        self._crashed = isinstance(exc, WorkerLostError)
        if isinstance(exc, Reject) and self.acknowledged:
            exc.requeue = False  # it cannot go back any more: it ends like one that shall not
        answer = super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        if not return_ok and not isinstance(self.task.backend, Recording):
            self._settle(celery_states.FAILURE, exc)
        return answer

    def _retry_worker_lost(self, exc: Any, exc_info: Any) -> bool:
        retried: bool = super()._retry_worker_lost(exc, exc_info)
        if retried and not self.store_errors and isinstance(self.task.backend, Recording):
            self._settle(celery_states.RETRY, exc)  # Celery stores no retry of an ignored result
        return retried

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The hard limit killed the child."""
        super().on_timeout(soft, timeout)
        if not soft and not isinstance(self.task.backend, Recording):
            self._settle(celery_states.FAILURE, TimeLimitExceeded(timeout))

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        super()._announce_revoked(reason, terminated, signum, expired)
        if not isinstance(self.task.backend, Recording):
            self._settle(celery_states.REVOKED, reason)

    def _settle(self, state: str, result: Any) -> None:
        end = ends.end_of(state, result, None, None, self._jobs.keep(state))
        ends.finish_run(self._jobs, self.task, self.id, ends.holder_of(self.id, self.request_dict), end)

    @property
    def _jobs(self) -> Any:
        return self.app.jobkit

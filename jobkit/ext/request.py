"""What the worker's main process knows of a job: a child that died, a message that goes back, a revoke.

Celery subclasses this class once more per task and replaces `on_success` and `execute_using_pool` without calling ours
(`create_request_cls`): a success is recorded in the child.  Nothing here runs on the path of a message that goes well.
"""

from __future__ import annotations

from typing import Any

from billiard.exceptions import TimeLimitExceeded
from celery import states as celery_states
from celery.worker.request import Request

from jobkit.ext import ends, messages
from jobkit.ext.backend import Recording
from jobkit.states import Outcome
from jobkit.store import End


class JobRequest(Request):
    """A request whose job's end is recorded also where no result backend of ours sees it."""

    def reject(self, requeue: bool = False) -> None:
        """A message that goes back to the queue is a run that ended: the next one gets a message of its own."""
        if requeue and not self.acknowledged and messages.RUN_HEADER in self.request_dict:
            end = End(("abort",), Outcome.FAILED, "given back to the queue", again=True)
            if ends.finish_run(self._jobs, self.task, self.id, ends.holder_of(self.id, self.request_dict), end):
                requeue = False
        super().reject(requeue=requeue)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """The child died or the task was rejected; a failure inside the child is recorded there."""
        answer = super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        exc = getattr(exc_info.exception, "exc", exc_info.exception)
        if not return_ok and not isinstance(self.task.backend, Recording):
            self._settle(celery_states.FAILURE, exc)
        return answer

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

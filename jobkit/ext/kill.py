"""The end of the ladder: a job that did not end itself within its grace period is killed, alone."""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from billiard.exceptions import TimeLimitExceeded
from celery.worker import state as worker_state

from jobkit.errors import JobNotFound
from jobkit.ext import ends, messages
from jobkit.ext.processes import family
from jobkit.ext.request import find
from jobkit.running import RunningJob, runs
from jobkit.states import State
from jobkit.store import queries

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

log = logging.getLogger("jobkit")


#: Seconds a body in a thread has to end after it was killed; then nothing can end it.
LAST_SECONDS = 5.0


class JobKilled(BaseException):
    """Raised inside of a body that runs in a thread and did not end itself."""


class Executioner:
    """Remembers who was told to end, and kills those that have not when their grace period is over.

    Parameters: the Celery `worker`; `taint` is told of a body that does not end even then.
    """

    def __init__(self, jobs: JobKit, worker: Any, taint: Callable[[RunningJob], None]) -> None:
        self._jobs, self._worker, self._taint = jobs, worker, taint
        self._condemned: dict[tuple[str, int], float] = {}
        self._killed: list[tuple[float, RunningJob, State]] = []

    def condemn(self, job_id: str, run: int, grace: float, again: bool = False) -> None:
        """This run was told to end; `grace` in seconds, of one that was told `again` only if that was not heard."""
        deadline = time.monotonic() + grace
        if not again or (job_id, run) not in self._condemned:
            self._condemned[job_id, run] = deadline

    def run_once(self) -> int:
        """Kill those whose time is over; returns how many."""
        now = time.monotonic()
        self._look_after(now)
        due = [key for key, deadline in list(self._condemned.items()) if deadline <= now]
        return sum(self._kill(*key) for key in due)

    def _kill(self, job_id: str, run: int) -> bool:
        try:
            state = State(queries.fields(self._jobs.store, job_id)["state"])
        except JobNotFound:
            state = State.ABORTED
        self._condemned.pop((job_id, run))
        request, body = find(job_id), runs.get(job_id)
        if state not in (State.CANCELLING_BY_USER, State.CANCELLING_BY_SYSTEM, State.PAUSE_REQUEST):
            return False  # it has ended, or only its worker goes down
        if body and body.run == run:
            log.warning("%s[%s] is killed: dangerous, it may leave things half done", body.task, job_id)
            _kill_body(body, request, self._worker.pool)
            self._killed.append((time.monotonic() + LAST_SECONDS, body, state))
        elif request and request.time_start and request.request_dict.get(messages.RUN_HEADER) == run:
            log.warning("%s[%s] is killed: dangerous, it may leave things half done", request.name, job_id)
            self._worker.consumer.call_soon(_kill_child, self._worker.pool, request, state)
        else:
            return False
        return True

    def _look_after(self, now: float) -> None:
        """Those that were killed and are still there: their end is recorded for them."""
        for one in [one for one in self._killed if one[0] <= now]:
            self._killed.remove(one)
            _, body, state = one
            request = find(body.id)
            if body.thread is not None and not body.greenlet and request:
                _record_kill(request, state)
                self._taint(body)


def _record_kill(request: Any, state: State) -> None:
    backend, context, store = request.task.backend, request._context, request.store_errors
    if state is State.CANCELLING_BY_SYSTEM:
        backend.mark_as_failure(request.id, TimeLimitExceeded(ends.KILLED), request=context, store_result=store)
    else:
        backend.mark_as_revoked(request.id, ends.KILLED, request=context, store_result=store)


def _kill_child(pool: Any, request: Any, state: State) -> None:
    """Record the end first, so that the death of the child is no news; then end the child and all it started."""
    _record_kill(request, state)
    request._already_cancelled = True
    worker_state.task_ready(request)
    with family(request.worker_pid):
        pool.terminate_job(request.worker_pid, 9)
    result = request._apply_result and request._apply_result()
    if result is not None:
        result.terminate(9)
    request.acknowledge()


def _kill_body(body: RunningJob, request: Any, pool: Any) -> None:
    with body.fate:
        if body.thread is None:
            return
        body.killed = True
        if body.greenlet and request is not None:
            pool.terminate_job(request.worker_pid)
        else:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(body.thread), ctypes.py_object(JobKilled))


def spare(body: RunningJob) -> None:
    """The body is over: what was raised in its thread and has not arrived must not hit what runs there next."""
    with body.fate:
        thread, body.thread = body.thread, None
        if body.killed and thread is not None and not body.greenlet:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)

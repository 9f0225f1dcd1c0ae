"""`on_finished`: called once after each run, for so long and no longer; it may plan the next one."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jobkit.errors import Fenced, IllegalTransition, JobNotFound
from jobkit.ext import identity
from jobkit.model import Ending
from jobkit.running import RunningJob
from jobkit.store import End

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

log = logging.getLogger("jobkit")

#: Seconds one that was stopped has to end before its process is ended, where it has one of its own.
LAST_SECONDS = 2.0
Hook = tuple[int, str, str]


class HookStopped(BaseException):
    """Raised inside of an `on_finished` that takes too long."""


def hook_of(task: Any) -> Callable[[RunningJob, Ending], object] | None:
    """The task's `on_finished`, None if it has none."""
    return getattr(task, "on_finished", None)


def tell(jobs: JobKit, task: Any, job: RunningJob, ending: Ending, hook: Hook, end: End | None = None) -> None:
    """Call the task's `on_finished`, and record that it was.

    It sees a run that has ended; what it raises is logged and changes nothing, and neither does one that is stopped.
    Parameters: `hook`, the claim to tell it, as the store knows it; `end`, how the run ended, if it was told so here.
    """
    limit, what, why = jobs.settings.on_finished_limit, f"on_finished of {job.task}[{job.id}]", ""
    job.plan, job.telling, job.left = None, True, {}
    try:
        with Limit(limit, what):
            hook_of(task)(job, ending)  # type: ignore[misc]
    except HookStopped:
        log.error(
            "%s did not end within %g s and was stopped; it is not called again, the run keeps its end", what, limit
        )
        why, job.plan = f"stopped after {limit:g} s", None
    except Exception:
        log.exception("%s raised; the run keeps its end", what)
        job.plan = None
    finally:
        job.telling = False
    drop = end.spent() if end else ""
    done(jobs, job.id, hook, interrupted=why, again=job.plan, drop=drop, facts=job.left)


def done(jobs: JobKit, job_id: str, hook: Hook, **what: Any) -> None:
    """Record that the job was told, and publish what waited for that."""
    try:
        jobs.publish(jobs.store.told(job_id, hook, **what))
    except (Fenced, IllegalTransition, JobNotFound) as exc:
        log.warning("the next run that on_finished of job %s planned was refused: %s", job_id, exc)


class Limit:
    """Raises `HookStopped` in this thread after so many seconds; a pool process in which that does not help is ended.

    A thread of a pool that hangs in C code cannot be ended: that is said, and it is left alone.
    """

    def __init__(self, seconds: float, what: str) -> None:
        self._seconds, self._what, self._thread = seconds, what, threading.get_ident()
        self._over = threading.Event()
        self._fate = threading.Lock()
        self._alone = identity.in_pool_child()

    def __enter__(self) -> None:
        if self._alone:  # prints where it hangs, and needs no lock of the interpreter to end it
            last = self._seconds + LAST_SECONDS
            faulthandler.dump_traceback_later(last, exit=True, file=sys.__stderr__ or sys.stderr)
        threading.Thread(target=self._watch, name="jobkit-on-finished", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        with self._fate:
            self._over.set()
            _raise_in(self._thread, None)  # what was raised and has not arrived is for nobody else
        if self._alone:
            faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        if self._over.wait(self._seconds):
            return
        with self._fate:
            if not self._over.is_set():
                _raise_in(self._thread, HookStopped)
        if not self._over.wait(LAST_SECONDS):
            log.error("%s does not end even when it is stopped: it is lost until it does", self._what)


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    what = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)

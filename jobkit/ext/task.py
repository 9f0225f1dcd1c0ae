"""What every task of the app gains: the claim around its tracer, `self.job`, and a request that knows its job."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from celery.app.task import Task
from celery.utils.imports import symbol_by_name

from jobkit.ext.ids import uuid7
from jobkit.ext.trace import Claiming
from jobkit.running import RunningJob, current

if TYPE_CHECKING:
    from celery import Celery

    from jobkit.ext.repeating import Repeating


class JobTask:
    """Mixed into the class of every task; it defines no hook of Celery's, so that users' own are never shadowed.

    A task may define ``on_finished(self, job, ending)``: it is called once per run, after the run has ended, also for a
    job that was aborted before its start.
    """

    __trace__ = Claiming()

    if TYPE_CHECKING:
        app: Any
        name: str
        request: Any

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Celery's, but for the id: one that says when it was made, so that it is known for old when all else is gone.

        Also of a job that is long forgotten it can then be told that it has expired, and was not mistyped.
        """
        if len(args) < 3 and not options.get("task_id"):
            repeating: Repeating = self.app.jobkit.repeating
            given = (*args, None, None)[:2]
            if not options and (sent := repeating.send(self, *given)):
                return sent
            with nullcontext() if options else repeating.learning(self, *given):
                return super().apply_async(*args, task_id=uuid7(), **options)  # type: ignore[misc]
        return super().apply_async(*args, **options)  # type: ignore[misc]

    @property
    def job(self) -> RunningJob:
        """The job this task body is part of; without a record where the task is called as a plain function."""
        return current(self.request.id, self.name)


def adopt(app: Celery) -> None:
    """Mix `JobTask` into every task of the app, whatever base class its author chose."""
    for task in app.tasks.values():
        if isinstance(task, Task) and not isinstance(task, JobTask):
            tracer = task.__dict__.pop("__trace__", None)
            task.__class__ = mixed(type(task))
            task.__trace__ = tracer


def mixed(kind: type[Any]) -> type[Any]:
    """The same task class, as a `JobTask`."""
    about = {"__module__": kind.__module__, "__doc__": kind.__doc__, "Request": _request_class(kind.Request)}
    return type(kind.__name__, (JobTask, kind), about)


def _request_class(theirs: str | type[Any]) -> str | type[Any]:
    # The default stays a name: only a worker imports what stands behind it.
    if theirs == Task.Request:
        return "jobkit.ext.request:JobRequest"
    from jobkit.ext.request import JobRequest

    base = symbol_by_name(theirs)
    return type(base.__name__, (JobRequest, base), {"__module__": base.__module__, "__doc__": base.__doc__})

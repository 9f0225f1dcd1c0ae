"""Flower's `format_task` option is how its users hide secrets: it holds for jobs too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from jobkit.definitions import Definition
from jobkit.errors import JobNotFound
from jobkit.model import Failure, Job, Reason

log = logging.getLogger(__name__)

#: What stands for a value when the hook itself fails: showing nothing is the safe way.
HIDDEN = "(hidden: format_task failed)"


def redacted(job: Job, format_task: Callable[[Any], Any] | None) -> Job:
    """The job as `format_task` lets it be seen.

    Parameters: `format_task`, called with an object that has the attributes of Flower's tasks (`uuid`, `name`,
    `args`, `kwargs`, `result`, `exception`, `traceback`) and returns it, changed; None shows everything.
    """
    if format_task is None:
        return job
    try:
        seen = format_task(_as_task(job))
        return _shown(job, seen.args, seen.kwargs, seen.result, seen.exception, seen.traceback)
    except Exception:  # the hook is a user's code
        log.exception("format_task failed for job %s", job.id)
        return _shown(job, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN)


def redacted_reason(reason: Reason, read: Callable[[str], Job], format_task: Callable[[Any], Any] | None) -> Reason:
    """The reason of a failure, and of what it failed by, as `format_task` lets each of these jobs be seen."""
    if format_task is None:
        return reason

    def seen(one: Reason) -> Reason:
        try:
            failure = redacted(read(one.job_id), format_task).failure
        except JobNotFound:  # it has gone meanwhile, and what may be seen of it with it
            failure = one.failure and Failure(one.failure.type, HIDDEN)
        below = tuple(map(seen, one.compensations))
        return replace(
            one, failure=failure, message="", child=seen(one.child) if one.child else None, compensations=below
        )

    return seen(reason)


def redacted_definition(one: Definition, format_task: Callable[[Any], Any] | None) -> Definition:
    """The definition as `format_task` lets its runs be seen: what it hides of their arguments is hidden of its data."""
    if format_task is None:
        return one
    args: Any
    data: Any
    try:
        known = {"uuid": one.job_id, "name": one.task, "result": None, "exception": "", "traceback": ""}
        seen = format_task(SimpleNamespace(**known, args=one.args, kwargs=dict(one.data)))
        args, data = seen.args, seen.kwargs
    except Exception:  # the hook is a user's code
        log.exception("format_task failed for definition %s", one.id)
        args, data = HIDDEN, HIDDEN
    args = tuple(args) if isinstance(args, list | tuple) else (str(args),)
    return replace(one, args=args, data=data if isinstance(data, dict) else {"": str(data)})


def _as_task(job: Job) -> SimpleNamespace:
    failure = job.failure or Failure("", "")
    fields = {name: getattr(job, name) for name in Job.__slots__}
    return SimpleNamespace(**fields, uuid=job.id, name=job.task, exception=failure.message, traceback=failure.traceback)


def _shown(job: Job, args: Any, kwargs: Any, result: Any, exception: Any, traceback: Any) -> Job:
    failure = job.failure and replace(job.failure, message=str(exception), traceback=str(traceback))
    return replace(job, args=str(args), kwargs=str(kwargs), result=result, failure=failure)

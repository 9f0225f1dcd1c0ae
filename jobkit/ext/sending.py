"""How the run of a definition becomes a Celery message: sent as any task is, but recorded by another verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jobkit.definitions import Definition
from jobkit.ext import amqp
from jobkit.store import Plan, Verdict

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

#: Celery's own name for what marks a task that beat has sent.
BEAT_HEADER = "celery_beat_task"


def send(
    jobs: JobKit, one: Definition, job_id: str, record: Callable[[Plan], Verdict], priority: int | None = None
) -> Verdict | None:
    """Make the message of a run, have its plan recorded, and publish what is to be published then.

    Returns: what `record` answered; None where nothing was to be recorded (eager tasks).
    """
    options: dict[str, Any] = dict(one.options) | ({"queue": one.queue} if one.queue else {})
    wanted = one.priority if priority is None else priority
    options |= {} if wanted is None else {"priority": wanted}
    return send_task(jobs, one, job_id, record, one.args, dict(one.data), options)


def send_task(
    jobs: JobKit, one: Definition, job_id: str, record: Callable[[Plan], Verdict], args: Any, kwargs: Any, options: Any
) -> Verdict | None:
    """The same with these arguments and options."""
    answers: list[Verdict] = []
    wish = amqp.Wish(
        owner=one.owner, tags=(one.job_id,), host=one.host, record=lambda plan: answers.append(record(plan))
    )
    with amqp.wishing(wish):
        task = jobs.app.tasks.get(one.task)
        if task is not None:
            task.apply_async(args, kwargs, task_id=job_id, add_to_parent=False, **options)
        else:
            jobs.app.send_task(one.task, args, kwargs, task_id=job_id, add_to_parent=False, **options)
    for verdict in answers:
        jobs.publish(verdict)
    return answers[0] if answers else None


def high(jobs: JobKit) -> int:
    """The highest priority of the app's broker: Redis counts down, the others up."""
    redis = str(jobs.app.conf.broker_write_url or "").partition("://")[0] in ("redis", "rediss", "sentinel", "socket")
    return 0 if redis else 9

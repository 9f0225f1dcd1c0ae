"""Where every submission passes (delay, apply_async, send_task, canvas, retry, beat): the record comes first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery import current_task
from celery.app.amqp import AMQP
from kombu.exceptions import OperationalError
from kombu.utils.objects import cached_property

from jobkit.errors import StoreUnavailable
from jobkit.ext import messages
from jobkit.running import runs
from jobkit.states import State
from jobkit.store import Plan
from jobkit.store.jobs import operation

if TYPE_CHECKING:
    from celery import Celery

#: What Celery calls the exchange by which RabbitMQ itself delays a message.
_NATIVE_DELAY = "celery_delayed_27"


class SubmitFailed(StoreUnavailable, OperationalError):
    """the job was not accepted: Redis at {url} does not answer: {reason}"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What `jobs.submit` adds to the messages sent inside of it."""

    owner: str = ""
    tags: tuple[str, ...] = ()
    after: str = ""
    start: int | None = None
    suspended: bool = False


_wish: ContextVar[Wish | None] = ContextVar("jobkit_wish", default=None)


@contextmanager
def wishing(wish: Wish) -> Iterator[None]:
    """Everything that is sent inside carries this wish."""
    token = _wish.set(wish)
    try:
        yield
    finally:
        _wish.reset(token)


class JobAMQP(AMQP):
    """Celery's message factory, with a record for every message that names a task and an id."""

    app: Celery

    @cached_property
    def publish(self) -> Callable[..., Any]:
        """Celery's own way to send, for messages whose record exists."""
        return super()._create_task_sender()

    def _create_task_sender(self) -> Callable[..., Any]:
        def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> Any:
            job_id = message.headers.get("id")
            if not job_id:  # task protocol 1 has no headers: a worker will record it
                return self.publish(producer, name, message, **options)
            return self._record_and_send(job_id, producer, name, message, options)

        return send_task_message

    def _record_and_send(self, job_id: str, producer: Any, name: str, message: Any, options: dict[str, Any]) -> Any:
        # A retry copies the headers of the run it follows; the next run has a number of its own.
        options["headers"] = {k: v for k, v in (options.get("headers") or {}).items() if k != messages.RUN_HEADER}
        # What expires is told so by a worker; a broker would drop it and tell nobody.
        options.pop("expiration", None)
        store, op, plan = self.app.jobkit.store, operation(), self._plan(job_id, name, message, options)
        try:
            verdict = store.create(plan, message.headers.get("origin") or "client", op=op)
        except StoreUnavailable as exc:
            raise SubmitFailed(**exc.facts) from exc
        if verdict.state != State.QUEUED or verdict.code == "next":
            return None
        message.headers[messages.RUN_HEADER] = verdict.run
        try:
            return self.publish(producer, name, message, **options)
        except BaseException:
            store.discard(job_id, op, verdict.run)
            raise

    def _plan(self, job_id: str, name: str, message: Any, options: dict[str, Any]) -> Plan:
        headers = message.headers
        running = runs.get(current_task.request.id) if current_task else None
        # What a running job sends inherits its owner; its own next run (a retry, a replacement) keeps all it has.
        wish = _wish.get() or (Wish(running.owner) if running and running.id != job_id else Wish())
        eta = headers.get("eta")
        native = getattr(options.get("exchange"), "name", "") == _NATIVE_DELAY
        start = _milliseconds(eta, self.app) if eta and not native else wish.start
        if start is not None and eta:
            headers["eta"] = None  # it waits in Redis, not in a worker's memory
        limit = self.app.jobkit.settings.max_message_bytes
        queue = options.get("queue") or self.app.conf.task_default_queue
        return Plan(
            job_id,
            name,
            messages.pack(self.app, name, message, options, limit),
            start=start,
            after=wish.after,
            suspended=wish.suspended,
            owner=wish.owner,
            tags=wish.tags,
            facts=facts(headers, str(getattr(queue, "name", queue)), options.get("priority")),
        )


def facts(headers: dict[str, Any], queue: str, priority: int | None = None) -> dict[str, str | int]:
    """What a record keeps of a message's headers, for people."""
    own_root = headers.get("root_id") in (None, headers.get("id"))
    return {
        "queue": queue,
        "args": _short(headers.get("argsrepr")),
        "kwargs": _short(headers.get("kwargsrepr")),
        "root": "" if own_root else headers["root_id"],
        "parent": "" if headers.get("parent_id") == headers.get("id") else headers.get("parent_id") or "",
        "retries": headers.get("retries") or "",
        "priority": "" if priority is None else priority,
    }


def _short(text: str | None) -> str:
    return "" if text in (None, "()", "{}") else str(text)[:200]


def _milliseconds(eta: str, app: Celery) -> int:
    moment = datetime.fromisoformat(eta)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc if app.conf.enable_utc else app.timezone)
    return int(moment.timestamp() * 1000)

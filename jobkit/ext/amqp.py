"""Where every submission passes (delay, apply_async, send_task, canvas, retry, beat): the record comes first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from celery import current_task
from celery.app.amqp import AMQP
from kombu.exceptions import OperationalError

from jobkit.errors import CannotSpawn, InvalidOption, NotConfirmed, StoreUnavailable
from jobkit.ext import batch, connections, messages
from jobkit.ext.putting import caught
from jobkit.locks import Lock, checked
from jobkit.policy import Policy
from jobkit.running import find
from jobkit.states import State
from jobkit.store import JobStore, Plan, Put, Verdict, bulk
from jobkit.store.values import NOWHERE, operation

if TYPE_CHECKING:
    from celery import Celery
    from kombu.connection import Connection

#: The header that is for the recorder alone: seconds from now, and the moment that made of them.
_DELAY_HEADER = "job_delay"
#: What Celery calls the exchange by which RabbitMQ itself delays a message.
_NATIVE_DELAY = "celery_delayed_27"


class SubmitFailed(StoreUnavailable, OperationalError):
    """the job was not accepted: Redis at {url} does not answer: {reason}"""


class ToldToEnd(CannotSpawn):
    """job {job_id} cannot start this for itself: {reason}"""

    state: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What `jobs.submit` adds to the messages sent inside of it.

    `record` is given the plan instead of the store; it, and not who sends, sees to what is to be published.
    """

    owner: str = ""
    tags: tuple[str, ...] = ()
    after: str = ""
    start: int | str | None = None
    suspended: bool = False
    keep: int | None = None
    until_read: bool = False
    locks: tuple[Lock, ...] = ()
    record: Callable[[Plan], object] | None = None
    host: str = ""
    up: str = ""
    upon: str = ""
    fence: str = ""
    priority: int | None = None


_wish: ContextVar[Wish | None] = ContextVar("jobkit_wish", default=None)


@contextmanager
def wishing(wish: Wish) -> Iterator[None]:
    """Everything that is sent inside carries this wish."""
    token = _wish.set(wish)
    try:
        yield
    finally:
        _wish.reset(token)


@contextmanager
def together(store: JobStore) -> Iterator[None]:
    """Everything that is sent inside is recorded together.  Raises: `SubmitFailed`."""
    if batch.current():
        yield
        return
    try:
        with batch.batched(batch.Batch(store)):
            yield
    except SubmitFailed:
        raise
    except StoreUnavailable as exc:
        raise SubmitFailed(**exc.facts) from exc


def is_wished() -> bool:
    """Does what is sent now carry a wish?"""
    return _wish.get() is not None


_noted: ContextVar[list[bulk.Entry] | None] = ContextVar("jobkit_noted", default=None)


@contextmanager
def noting() -> Iterator[list[bulk.Entry]]:
    """What is recorded one by one inside is in the list."""
    entries: list[bulk.Entry] = []
    token = _noted.set(entries)
    try:
        yield entries
    finally:
        _noted.reset(token)


class JobAMQP(AMQP):
    """Celery's message factory, with a record for every message that names a task and an id."""

    app: Celery

    def __init__(self, app: Celery) -> None:
        super().__init__(app)
        self.task_protocols[2] = self._relative

    def _relative(
        self,
        job_id: str,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: Any = None,
        *rest: Any,
        **more: Any,
    ) -> Any:
        """Celery's message of protocol 2, which also says if its `eta` was meant from now on: clocks differ."""
        message = self.as_task_v2(job_id, name, args, kwargs, countdown, *rest, **more)
        if countdown:
            message.headers[_DELAY_HEADER] = [countdown, message.headers["eta"]]
        return message

    @cached_property
    def Connection(self) -> type[Connection]:
        """What the app makes its broker connections of."""
        return connections.connection_class(self.app.jobkit)

    def _create_task_sender(self) -> Callable[..., Any]:
        send = super()._create_task_sender()

        def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> Any:
            if not message.headers.get("id"):  # task protocol 1 has no headers: a worker will record it
                return send(producer, name, message, **options)
            if options.get("headers"):
                # A retry copies the headers of the run it follows; the next run has a number of its own.
                options["headers"] = {k: v for k, v in options["headers"].items() if k != messages.RUN_HEADER}
            # What expires is told so by a worker; a broker would drop it and tell nobody.
            options.pop("expiration", None)
            queue = options.get("queue") or self.app.conf.task_default_queue
            return send(
                Recorder(self.app, producer, name, str(getattr(queue, "name", queue))), name, message, **options
            )

        return send_task_message


class Recorder:
    """Stands in for the producer while Celery sends a task.

    So Celery's own signals and events are sent once, by who sends the task, and what their receivers change is kept.
    The record comes first, and decides whether the message goes now; whatever else is published goes straight through.
    """

    def __init__(self, app: Celery, producer: Any, task: str, queue: str) -> None:
        self._app, self._producer, self._task, self._queue = app, producer, task, queue
        self._op, self._recorded = operation(), False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def publish(self, body: Any, **options: Any) -> Any:
        """Record the job of this message, and publish it if it is to start now."""
        if self._recorded:
            return self._producer.publish(body, **options)
        plan, wire = self._plan(body, options)
        wish = _wish.get()
        if wish and wish.record:
            self._recorded = True
            return wish.record(plan)
        entry = bulk.Entry(plan, self._put(wire), wire["headers"].get("origin") or "client", self._op)
        together = batch.current()
        if together and entry.put is not NOWHERE and not plan.token:
            self._recorded = True
            return together.add(entry, partial(_check_child, plan))
        if together:
            together.flush()  # in their order
        sent = None if together and together.has(plan.id) else self._record(entry, wire)
        self._recorded = True
        return sent

    def _record(self, entry: bulk.Entry, wire: dict[str, Any]) -> Any:
        plan, unsure = entry.plan, None
        try:
            verdict = bulk.create(self._app.jobkit.store, entry)
        except StoreUnavailable as exc:
            raise SubmitFailed(**exc.facts) from exc
        except NotConfirmed as exc:
            verdict, unsure = exc.verdict, exc  # it is recorded, so its message has to go
        _check_child(plan, verdict)
        if together := batch.current():
            together.recorded += 1
        if (noted := _noted.get()) is not None:
            noted.append(entry)
        if verdict.code == "told" and (running := find(plan.id)):
            running.stop.tell(State(verdict.state))  # it was cancelled, so it plans no next run of its own
        sent = None
        if entry.put is NOWHERE and verdict.code not in ("adopted", "next") and verdict.state == State.QUEUED:
            wire["headers"][messages.RUN_HEADER] = verdict.run
            sent = self._send(wire, plan.id, verdict.run)
        if unsure:
            raise unsure
        return sent

    def _put(self, wire: dict[str, Any]) -> Put:
        """What kombu would put into the broker's Redis, where the script that records the job can do so."""
        if not connections.shares_store(self._producer):
            return NOWHERE
        wire["headers"][messages.RUN_HEADER] = 1
        with caught() as puts, suppress(OperationalError):  # without a broker the record says what is wrong
            self._producer.publish(**wire)
        return (puts[0] or NOWHERE) if len(puts) == 1 else NOWHERE

    def _send(self, wire: dict[str, Any], job_id: str, run: int) -> Any:
        try:
            return self._producer.publish(**wire)
        except BaseException:
            self._app.jobkit.store.discard(job_id, self._op, run)
            raise

    def _plan(self, body: Any, options: dict[str, Any]) -> tuple[Plan, dict[str, Any]]:
        headers = dict(options["headers"])
        running = find(current_task.request.id) if current_task else None
        # What a running job sends inherits its owner; its own next run (a retry, a replacement) keeps all it has.
        again = bool(running and running.id == headers["id"])
        wish = _wish.get() or (Wish(running.owner) if running and not again else Wish())
        eta, exchange = headers.get("eta"), options.get("exchange")
        native = getattr(exchange, "name", exchange) == _NATIVE_DELAY
        start, delay = wish.start, headers.pop(_DELAY_HEADER, None)
        if eta and not native:
            start = f"+{int(delay[0] * 1000)}" if delay and delay[1] == eta else _milliseconds(eta, self._app)
        if start is not None and eta:
            headers["eta"] = None  # it waits in Redis, not in a worker's memory
        locks = self._locks(body, headers, () if again else wish.locks, again)
        level = self._level(options, wish.priority)
        wire = messages.encoded(self._task, body, {**options, "headers": headers})
        plan = Plan(
            headers["id"],
            self._task,
            messages.pack(self._task, wire, self._app.jobkit.settings.max_message_bytes),
            start=start,
            after=wish.after,
            suspended=wish.suspended,
            owner=wish.owner,
            tags=wish.tags,
            locks=locks,
            host=wish.host,
            up=wish.up,
            upon=wish.upon,
            fence=wish.fence,
            token=running.holder.token if running and again and not running.ended else "",
            keep=wish.keep,
            until_read=wish.until_read,
            kin=kin_of(headers),
            facts={**facts(headers, self._queue, options.get("priority")), **level},
        )
        return plan, wire

    def _level(self, options: dict[str, Any], asked: int | None) -> dict[str, str | int]:
        """Give it the priority of its level, where jobs have one; who gives the broker's own is let be."""
        jobs = self._app.jobkit
        if not jobs.settings.priorities or (options.get("priority") is not None and asked is None):
            return {}
        level = jobs.ranking.level(self._task, asked)
        options["priority"] = jobs.ranking.for_broker(level)
        return {"level": level}

    def _locks(self, body: Any, headers: dict[str, Any], wished: tuple[Lock, ...], again: bool) -> tuple[Lock, ...]:
        """What the job has to hold; its message says that its submitter knew.  A next run of it keeps what it has."""
        policy = getattr(self._app.tasks.get(self._task), "policy", None)
        if not isinstance(policy, Policy) or not policy.locks:
            return wished
        headers[messages.LOCKS_HEADER] = True
        return () if again else checked("locks", (*wished, *policy.locks_for(body[0], body[1])))


def kin_of(headers: dict[str, Any]) -> str:
    """What a job is retained as one with: the root of its tree or, of one that is a root itself, its group."""
    root = headers.get("root_id")
    return str(root) if root not in (None, headers.get("id")) else headers.get("group") or ""


def _check_child(plan: Plan, verdict: Verdict) -> None:
    if verdict.code == "told" and plan.up:
        raise ToldToEnd(job_id=plan.up, reason=f"it was told to end ({verdict.state})", state=verdict.state)
    if verdict.code == "order":
        allowed = f"a parent has {verdict.state!r}: a child's locks must come after it in the alphabet, or all may wait"
        raise InvalidOption(option="locks", value=tuple(lock.name for lock in plan.locks), allowed=allowed)
    if verdict.code in _LIMITS:
        raise CannotSpawn(job_id=plan.up, reason=_LIMITS[verdict.code].format(verdict.state))


_LIMITS = {"full": "it has {} children already", "deep": "its family has {} levels already"}


def facts(headers: dict[str, Any], queue: str, priority: int | None = None) -> dict[str, str | int]:
    """What a record keeps of a message's headers, for people."""
    own_root = headers.get("root_id") in (None, headers.get("id"))
    return {
        "queue": queue,
        "args": short(headers.get("argsrepr")),
        "kwargs": short(headers.get("kwargsrepr")),
        "root": "" if own_root else headers["root_id"],
        "parent": "" if headers.get("parent_id") == headers.get("id") else headers.get("parent_id") or "",
        "retries": headers.get("retries") or "",
        "priority": "" if priority is None else priority,
    }


def short(text: str | None) -> str:
    """Arguments as a record has them."""
    return "" if text in (None, "()", "{}") else str(text)[:200]


def _milliseconds(eta: str, app: Celery) -> int:
    moment = datetime.fromisoformat(eta)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc if app.conf.enable_utc else app.timezone)
    return int(moment.timestamp() * 1000)

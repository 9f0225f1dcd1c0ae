# mypy: disable-error-code="untyped-decorator"
"""A shop as its authors wrote it for Celery; the one line it gained stands where `SHOP_JOBKIT` asks for it.

What its tasks, hooks and signal handlers do is noted in Redis, in order, so that a test can read what happened.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from celery import Celery, Task, chain, chord, group, shared_task, signals
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.result import allow_join_result
from celery.worker.request import Request
from redis import Redis

from tests.brokers import beside

URL = os.environ["SHOP_REDIS"]

app = Celery("shop", **beside(URL))
app.conf.update(
    accept_content=["json", "pickle"],
    result_extended=True,
    task_routes={"shop.express": {"queue": "express"}},
)
if "SHOP_JOBKIT" in os.environ:
    from jobkit import JobKit

    JobKit(app, keeper_interval=0.1)

book = Redis.from_url(URL, socket_timeout=None)


def note(task_id: str | None, event: str) -> None:
    """Write down that this happened to a task."""
    book.rpush(f"notes:{task_id}", event)


def hold(key: str) -> None:
    """Wait until somebody says go, at most ten seconds."""
    book.blpop([f"go:{key}"], timeout=10)


class OutOfStock(Exception):
    """There are not enough of them."""

    def __init__(self, thing: str, wanted: int, left: int) -> None:
        super().__init__(thing, wanted, left)
        self.thing, self.wanted, self.left = thing, wanted, left

    def __str__(self) -> str:
        return f"{self.wanted} of {self.thing} wanted, {self.left} left"


# -- results -----------------------------------------------------------------------------------------------------


@app.task
def add(x: Any, y: Any) -> Any:
    return x + y


@shared_task(name="shop.total")
def total(numbers: list[int], extra: int = 0) -> int:
    return sum(numbers) + extra


@app.task
def identity(value: Any) -> Any:
    return value


@app.task
def kinds(values: Any) -> list[str]:
    return [type(value).__name__ for value in (values, *values)]


@app.task(name="shop.express", bind=True)
def express(self: Any) -> Any:
    info = self.request.delivery_info
    return info["routing_key"], info["priority"]


@app.task(bind=True)
def describe(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    names = ("id", "task", "args", "kwargs", "retries", "is_eager", "root_id", "parent_id", "group", "called_directly")
    found = {name: getattr(self.request, name) for name in names}
    return {**found, "header": self.request.get("colour"), "redelivered": self.request.delivery_info.get("redelivered")}


@app.task(track_started=True, bind=True)
def wait_for(self: Any, key: str) -> str:
    note(self.request.id, "begun")
    hold(key)
    note(self.request.id, "gone on")
    return "went on"


@app.task
def held(key: str) -> int:
    note(key, "begun")
    hold(key)
    return 1


@app.task(bind=True)
def report(self: Any, key: str) -> str:
    for done in (1, 2):
        self.update_state(state="PACKING", meta={"done": done, "of": 3})
        hold(key)
    return "packed"


@app.task(bind=True, ignore_result=True)
def whisper(self: Any, fail: bool = False) -> str:
    note(self.request.id, "whispered")
    if fail:
        raise ValueError("nobody will know")
    return "unheard"


@app.task(bind=True)
def parent(self: Any, count: int) -> str:
    for number in range(count):
        add.delay(number, number)
    return "has children"


@app.task
def not_json() -> object:
    return object()


# -- failures ----------------------------------------------------------------------------------------------------


@app.task
def fail(message: str = "no such thing") -> None:
    raise KeyError(message)


@app.task
def sell(thing: str, wanted: int) -> None:
    raise OutOfStock(thing, wanted, 2)


@app.task(throws=(LookupError,))
def look_up() -> None:
    raise LookupError("expected")


@app.task
def local_exception() -> None:
    class Strange(Exception):
        pass

    raise Strange("nobody can import it", 3)


@app.task
def unpicklable() -> None:
    raise ValueError(lambda: "cannot travel")


@app.task(bind=True)
def skip(self: Any, state: str = "SKIPPED") -> None:
    self.update_state(
        state=state, meta={"exc_type": "ValueError", "exc_message": ["sold out"], "exc_module": "builtins"}
    )
    raise Ignore


@app.task(bind=True, acks_late=True)
def rejects(self: Any) -> None:
    note(self.request.id, "rejected")
    raise Reject("not mine", requeue=False)


@app.task(bind=True)
def rejects_too_late(self: Any) -> None:
    note(self.request.id, "acknowledged already")
    raise Reject("cannot go back", requeue=True)


@app.task(bind=True, acks_late=True)
def requeues(self: Any) -> str:
    note(self.request.id, f"delivered again: {self.request.delivery_info['redelivered']}")
    if not self.request.delivery_info["redelivered"]:
        raise Reject("later", requeue=True)
    return "now"


@app.task(bind=True)
def dies(self: Any, how: int = signal.SIGKILL) -> None:
    note(self.request.id, "dying")
    os.kill(os.getpid(), how)
    signal.pause()


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def dies_once(self: Any) -> str:
    if book.rpush(f"notes:{self.request.id}", "run") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
    return "second life"


@app.task(bind=True, retry_on_worker_lost=True, default_retry_delay=0, max_retries=2)
def tried_again(self: Any) -> str:
    if book.rpush(f"notes:{self.request.id}", f"try {self.request.retries}") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
    return "second try"


@app.task(bind=True)
def too_slow(self: Any, obey: bool = False) -> str:
    try:
        note(self.request.id, "begun")
        hold(self.request.id)
    except SoftTimeLimitExceeded:
        note(self.request.id, "soft")
        if obey:
            return "cleaned up"
        raise
    return "in time"


@app.task(bind=True, acks_late=True, acks_on_failure_or_timeout=False, time_limit=0.5)
def slow_at_first(self: Any) -> str:
    if book.rpush(f"notes:{self.request.id}", "run") == 1:
        hold(self.request.id)
    return "fast now"


# -- hooks and retries -------------------------------------------------------------------------------------------


class Audited(Task):
    """Everything a user may override."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        note(self.request.id, "call")
        return super().__call__(*args, **kwargs)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        note(task_id, "before_start")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        note(task_id, f"on_success {retval}")

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note(task_id, f"on_failure {exc!r}")

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note(task_id, f"on_retry {exc!r}")

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note(task_id, f"after_return {status}")


@app.task(base=Audited)
def divide(x: int, y: int) -> float:
    return x / y


@app.task(base=Audited, bind=True, max_retries=2)
def flaky(self: Any, failures: int, countdown: float = 0, **options: Any) -> str:
    if self.request.retries < failures:
        raise self.retry(countdown=countdown, exc=ConnectionError(f"try {self.request.retries}"), **options)
    return f"done after {self.request.retries}"


@app.task(bind=True, max_retries=1, default_retry_delay=0)
def never(self: Any) -> None:
    raise self.retry()


@app.task(bind=True, max_retries=3)
def quietly(self: Any) -> str:
    note(self.request.id, f"try {self.request.retries}")
    if not self.request.retries:
        self.retry(countdown=0, throw=False)
    return "done"


@app.task(bind=True, max_retries=3)
def grows(self: Any, x: int, step: int = 1) -> int:
    if x < 3:
        raise self.retry(args=(x + step,), kwargs={"step": step}, countdown=0)
    return x


@app.task(bind=True, autoretry_for=(ConnectionError,), retry_backoff=2, retry_jitter=False, max_retries=1)
def backs_off(self: Any, fail_always: bool = False) -> str:
    note(self.request.id, f"try {self.request.retries}")
    if fail_always or not self.request.retries:
        raise ConnectionError("not yet")
    return "connected"


@app.task(bind=True, autoretry_for=(Exception,), dont_autoretry_for=(KeyError,), default_retry_delay=0)
def gives_up(self: Any) -> None:
    note(self.request.id, f"try {self.request.retries}")
    raise KeyError("not worth a retry")


@app.task(bind=True, ignore_result=True, max_retries=2, default_retry_delay=0)
def flaky_whisper(self: Any) -> None:
    note(self.request.id, f"try {self.request.retries}")
    if not self.request.retries:
        raise self.retry()


# -- canvas ------------------------------------------------------------------------------------------------------


@app.task(bind=True)
def errback(self: Any, task_id: str, key: str = "") -> None:
    note(key or task_id, "old errback")


@app.task
def new_errback(request: Any, exc: Any, traceback: Any) -> None:
    note(request.id, f"new errback {exc!r}")


@app.task
def noted(value: Any, key: str) -> Any:
    note(key, f"noted {value}")
    return value


@app.task(bind=True)
def becomes(self: Any, what: str) -> Any:
    signatures = {
        "task": add.s(2, 2),
        "chain": chain(add.s(1, 1), add.s(10)),
        "group": group(add.s(n, n) for n in range(3)),
        "chord": chord([add.s(1, 1), add.s(2, 2)], total.s()),
        "held chord": chord([held.si(self.request.id), add.s(1, 1)], total.s()),
        "held chain": chain(held.si(self.request.id), add.s(2)),
        "bad chord": chord([add.s(1, 1), fail.s("header")], total.s()),
        "bad group": group(fail.s("header"), add.s(1, 1)),
        "bad chain": chain(fail.si("header"), add.s(10)),
        "bad chain nobody asks for": chain(fail.si("header").set(ignore_result=True), add.s(10)),
        "chain that expires": chain(add.si(1, 1).set(expires=-60), add.s(10)),
    }
    raise self.replace(signatures[what])


@app.task(bind=True)
def joins(self: Any) -> int:
    with allow_join_result():
        return sum(group(add.s(n, n) for n in range(3))().get(timeout=10, disable_sync_subtasks=False))


# -- other ways to write a task ----------------------------------------------------------------------------------


class Watchful(Request):
    """What the worker's main process knows of a task."""

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        note(self.id, "request failed")
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)


class WithRequest(Task):
    """A task with a request class of its own."""

    abstract = True
    Request = Watchful


@app.task(base=WithRequest, bind=True, acks_late=True)
def watched(self: Any, requeue: bool = False) -> str:
    note(self.request.id, "run")
    if requeue and not self.request.delivery_info["redelivered"]:
        raise Reject("later", requeue=True)
    raise KeyError("watched")


class Shout(Task):
    """A task as a class."""

    name = "shop.shout"

    def run(self, word: str) -> str:
        return word.upper()


app.finalize()  # some do so early, by looking at the tasks
shout = app.register_task(Shout())


@app.task
def latecomer(word: str) -> str:
    return word.lower()


# -- eager -------------------------------------------------------------------------------------------------------


@app.task(bind=True, store_eager_result=True, max_retries=1)
def stored(self: Any, failures: int = 0, *, retries: bool = True) -> str:
    if self.request.retries < failures:
        raise self.retry(countdown=0, exc=ConnectionError("eager")) if retries else ConnectionError("eager")
    return "kept"


# -- signals -----------------------------------------------------------------------------------------------------

AUDITED = ("tests.acceptance.plain_app.divide", "tests.acceptance.plain_app.flaky")


def _note_signal(event: str) -> Any:
    def receiver(sender: Any = None, task_id: str | None = None, request: Any = None, **_: Any) -> None:
        if getattr(sender, "name", "") in AUDITED:
            note(task_id or (request or sender.request).id, event)

    return receiver


for _event in ("prerun", "postrun", "success", "failure", "retry", "revoked"):
    getattr(signals, f"task_{_event}").connect(_note_signal(_event), weak=False)

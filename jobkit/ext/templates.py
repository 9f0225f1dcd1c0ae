"""Messages that differ in nothing but their id and arguments: Celery makes the first, the others are made like it."""

from __future__ import annotations

import re
import uuid
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii
from types import FunctionType
from typing import TYPE_CHECKING, Any

from celery import Celery, current_task, signals
from celery.app.amqp import AMQP
from celery.app.routes import MapRoute
from celery.app.task import Task
from celery.utils.saferepr import saferepr
from kombu.exceptions import EncodeError
from kombu.messaging import Producer
from kombu.utils import json

from jobkit.ext import amqp, messages
from jobkit.ext.backend import Recording
from jobkit.ext.task import JobTask
from jobkit.store.bulk import GAP, Alike, Entry, Row, Text
from jobkit.store.values import NOWHERE

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

#: Stands in a text for what differs: no message has it.
_MARK = uuid.uuid4().hex
_MARKS = re.compile(f"{_MARK}(\\w+?){_MARK}")
#: What differs: the id, and the values of a row in their order.
_VALUES = ("id", "kept", "base64", "digest", "args", "kwargs", "short", "shorter")
_ATOMS = frozenset({int, bool, type(None)})
#: A text that both quote alike, and neither cuts.
_WORD = re.compile(r"[\w .,:;@/+-]{0,50}", re.ASCII).fullmatch


class Template:
    """How the messages of one task with the same options are made.

    Parameters: the `task`, `args` and `kwargs` of which Celery made `entry`.
    Raises: `ValueError` where it makes others otherwise.
    """

    def __init__(self, jobs: JobKit, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], entry: Entry) -> None:
        like, celerys = (None, None) if entry.put is NOWHERE else entry.alike() or (None, None)
        if like is None or celerys is None:
            raise ValueError("not one of many")
        self._task, self._jobs, self._limit = task, jobs, jobs.settings.max_message_bytes
        self._levels, self._result = jobs.app.conf.task_repr_maxlevels, jobs.app.AsyncResult
        #: What the jobs have in common.
        self.like: Alike = like._replace(texts=self._texts(entry))
        put = entry.put.message.replace(_tag(entry), entry.plan.id)
        made = self._row(entry.plan.id, args, kwargs)
        if [text.of(made) for text in self.like.texts] != [put, *celerys.values[1:]]:
            raise ValueError("Celery makes it otherwise")
        self._bytes = len(self.like.texts[1].of(Row("", ("",) * len(_VALUES))))
        self._moment = self._as_it_is()

    def row(self, job_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Row, int] | None:
        """The job with these arguments, and the characters of its message; None if Celery is to say what is wrong.

        Raises: `TypeError` as Celery, where the task does not take these arguments.
        """
        if self._task.typing:
            self._task.__header__(*args, **kwargs)
        try:
            row = self._row(job_id, args, kwargs)
        except (EncodeError, TypeError, ValueError):
            return None
        given = (job_id, *row.values)
        size = self._bytes + sum([len(given[place]) for place in self.like.texts[1].order])
        return (row, size) if size <= self._limit else None

    def result(self, job_id: str) -> Any:
        """What Celery returns to who sends it."""
        handle = self._result(job_id, self._task.backend)
        handle.ignored = self._ignored
        return handle

    @property
    def holds(self) -> bool:
        """Would Celery still make them so, and is there nobody who wants to see each?"""
        return self._as_it_is() == self._moment and not is_watched(self._jobs.app)

    def _as_it_is(self) -> tuple[Any, ...]:
        # Held, so that none of them goes and another takes its address: they are others once somebody has changed them.
        task, app = self._task, self._jobs.app
        made_by = (Task.apply_async, Celery.send_task, Producer.publish, app.amqp, app.amqp.routes, task._exec_options)
        return (*made_by, task.ignore_result, task.typing, task.soft_time_limit, task.time_limit)

    def _texts(self, entry: Entry) -> tuple[Text, ...]:
        wire, kept = json.loads(entry.put.message), json.loads(entry.plan.message)
        whole = messages.unpack(entry.plan.message, 1)
        headers = whole["headers"]
        if kept.get("base64") or whole["content_type"] != "application/json" or "compression" in headers:
            raise ValueError("not text")
        if headers["eta"] or headers["expires"]:
            raise ValueError("a moment of its own")
        self._ignored = headers["ignore_result"]
        self._said = _format(messages.said({**headers, "id": _mark("id")})).format
        self._embed, self._part = json.dumps(json.loads(whole["body"])[2]), "call" if "call" in kept else "body"
        wire["body"], kept[self._part], kept["digest"] = _mark("base64"), _mark("kept"), _mark("digest")
        wire["properties"]["delivery_tag"] = entry.plan.id  # it has to be another for each message, no more
        for part in (wire["headers"], wire["properties"], kept["headers"], kept):
            _mark_all(part, entry.plan.id)
        return (
            *(_format(json.dumps(text)) for text in (wire, kept)),
            *map(_format, (_mark("short"), _mark("shorter"))),
        )

    def _row(self, job_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Row:
        body = f"[{messages.encode(args)}, {messages.encode(kwargs) if kwargs else '{}'}, {self._embed}]"
        args_text, kwargs_text = self._repr(args), self._repr(kwargs)
        raw = body.encode()
        return Row(
            job_id,
            (
                _inside(body[: -len(messages.USUAL_END)] if self._part == "call" else body),
                b2a_base64(raw, newline=False).decode(),
                messages.hashed(self._said.replace(GAP, job_id), raw),
                _inside(args_text),
                _inside(kwargs_text),
                amqp.short(args_text),
                amqp.short(kwargs_text),
            ),
        )

    def _repr(self, value: Any) -> str:
        # What Celery writes; it is slow, and of a few numbers and words nothing but what Python writes.
        if not value or (type(value) is tuple and len(value) < 10 and all(map(_is_short, value))):
            return repr(value)
        return saferepr(value, AMQP.argsrepr_maxsize, maxlevels=self._levels)


def is_plain(jobs: JobKit, task: Any) -> bool:
    """May what is sent of this task be made like others: has nobody a say in each message?"""
    app = jobs.app
    wrapped = any(map(_is_wrapped, (Task.apply_async, Celery.send_task, Producer.publish)))
    if wrapped or is_watched(app) or _is_own(app, task):
        return False
    return isinstance(task.backend, Recording) and all(type(route) is MapRoute for route in app.amqp.routes)


def is_watched(app: Celery) -> bool:
    """Is there somebody who is told of each, or a task that sends it?"""
    heard = signals.before_task_publish.receivers or signals.after_task_publish.receivers or current_task
    return bool(heard or app.conf.task_send_sent_event or app.conf.task_always_eager)


def _is_own(app: Celery, task: Any) -> bool:
    """Does the application itself take part in sending this?"""
    names = {"apply_async", "shadow_name", "_get_exec_options", "__v2_compat__", "AsyncResult"}
    ours = (Task, JobTask, object)
    own = any(names & vars(kind).keys() for kind in type(task).__mro__ if kind not in ours) or names & vars(task).keys()
    policy, models = getattr(task, "policy", None), getattr(task, "_dump_pydantic_arguments", None)
    bound = getattr(task, "__self__", None) is not None
    sender = type(app).send_task is Celery.send_task and "send_task" not in vars(app)
    maker = getattr(app.amqp.create_task_message, "__func__", None) is amqp.JobAMQP._relative
    maker = maker and type(app.amqp).as_task_v2 is AMQP.as_task_v2
    return bool(own or bound or models or getattr(policy, "locks", None)) or not (sender and maker)


def _is_wrapped(function: Any) -> bool:
    """Has somebody put a function of his own in its place, as those do who trace what is sent?"""
    made_in = getattr(function, "__globals__", {}).get("__name__", "")
    plain = isinstance(function, FunctionType) and not hasattr(function, "__wrapped__")
    return not plain or not made_in.startswith(("celery.", "kombu."))


def _is_short(value: Any) -> bool:
    kind = type(value)
    return kind in _ATOMS or (kind is str and _WORD(value) is not None)


def _mark(name: str) -> str:
    return f"{_MARK}{name}{_MARK}"


def _mark_all(part: dict[str, Any], job_id: str) -> None:
    marks = {"argsrepr": _mark("args"), "kwargsrepr": _mark("kwargs")}
    part.update({name: mark for name, mark in marks.items() if name in part})
    part.update({name: _mark("id") for name, value in part.items() if value == job_id})


def _format(text: str) -> Text:
    order = tuple(_VALUES.index(found[1]) for found in _MARKS.finditer(text))
    return Text(_MARKS.sub(GAP, text), order)


def _tag(entry: Entry) -> str:
    tag: str = json.loads(entry.put.message)["properties"]["delivery_tag"]
    return tag


def _inside(text: str) -> str:
    """A text as it stands inside of one in JSON."""
    return encode_basestring_ascii(text)[1:-1]

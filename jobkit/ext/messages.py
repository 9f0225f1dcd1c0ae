"""A Celery message as text: kept with the record, so that anybody can publish it, once or again."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celery.app.task import Context
from kombu import serialization
from kombu.entity import Queue
from kombu.exceptions import EncodeError
from kombu.serialization import prepare_accept_content
from kombu.utils import json

from jobkit.errors import NotSerializable, PayloadTooLarge

if TYPE_CHECKING:
    from celery import Celery

#: The header that says which run of its job a message is for.
RUN_HEADER = "job_run"
#: The header that says that the record of the job has its locks.
LOCKS_HEADER = "job_locks"
#: The headers of what a job started for later: its continuation, which gets its children's results; a compensation.
RESULTS_HEADER, UNDO_HEADER = "job_results", "job_undo"

#: The header a worker adds: the digest of what it received, see `digest`.
DIGEST_HEADER = "job_digest"

#: The headers that decide what a message runs, and within which limits.
_DECIDING = ("id", "task", "timelimit", "expires", "retries")
#: What `json.dumps` does, without making an encoder for each.
encode = json.JSONEncoder().encode
_DIGEST = re.compile(r'\{"digest": ?"([0-9a-f]+)"')

#: Options of a publish that cannot be kept as text, and are found again when it is published once more.
_LOCAL = frozenset({"declare", "retry_policy", "retry", "timeout", "confirm_timeout"})


#: What most messages have in common, and no record keeps: of the headers, of the rest, and how the body ends.
_USUAL_HEADERS: dict[str, Any] = {
    "lang": "py", "shadow": None, "eta": None, "expires": None, "group": None, "group_index": None, "retries": 0,
    "timelimit": [None, None], "parent_id": None, "ignore_result": False, "replaced_task_nesting": 0,
    "stamped_headers": None, "stamps": {},
}  # fmt: skip
_USUAL = {"exchange": "", "delivery_mode": 2, "content_type": "application/json", "content_encoding": "utf-8"}
USUAL_END = ', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'


class CannotEncode(NotSerializable, EncodeError):
    """the arguments of {task} cannot be written as {serializer}: {reason}"""


def encoded(task: str, body: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a publish, its body already written by its serializer.

    Raises: `NotSerializable` (also kombu's `EncodeError`).
    """
    rest = dict(options)
    serializer = rest.pop("serializer")
    try:
        rest["content_type"], rest["content_encoding"], rest["body"] = serialization.dumps(body, serializer)
    except (EncodeError, TypeError, ValueError) as exc:
        raise CannotEncode(task=task, serializer=serializer, reason=str(exc)) from exc
    return rest


def digest(headers: Mapping[str, Any], body: str | bytes) -> str:
    """What decides what a message runs, in short: kept with the record, and compared with what a worker received."""
    return hashed(said(headers), body)


def said(headers: Mapping[str, Any]) -> str:
    """What headers decide."""
    return encode([headers.get(name) for name in _DECIDING])


def hashed(said: str, body: str | bytes) -> str:
    """The digest of what the headers said and of the body."""
    given = body.encode() if isinstance(body, str) else bytes(body)
    return hashlib.blake2b(said.encode() + given, digest_size=10).hexdigest()


def kept_digest(text: str) -> str:
    """The digest of a kept message; "" of one that came from a client without jobkit."""
    found = _DIGEST.match(text)
    return found[1] if found else ""


def pack(task: str, wire: dict[str, Any], limit: int, *, ours: bool = True) -> str:
    """All that is needed to publish this message later, as JSON text.

    Its digest comes first, where the script that claims a run finds it; what is not `ours` has none.
    Raises: `NotSerializable` (also kombu's `EncodeError`), `PayloadTooLarge`.
    """
    given = {key: value for key, value in wire.items() if key not in _LOCAL and value is not None}
    # A Queue or an Exchange is known by its name; the app has it, or makes it, when the message is published.
    kept: dict[str, Any] = {"digest": digest(wire["headers"], wire["body"])} if ours else {}
    kept |= {key: getattr(value, "name", value) for key, value in given.items()}
    kept["declare"] = [entity.name for entity in wire.get("declare") or () if isinstance(entity, Queue)]
    if isinstance(body := kept["body"], bytes):
        kept["body"], kept["base64"] = base64.b64encode(body).decode(), True
    try:
        text = json.dumps(_slim(kept))
    except (EncodeError, TypeError, ValueError) as exc:
        raise CannotEncode(task=task, serializer="json", reason=str(exc)) from exc
    if len(text) > limit:
        raise PayloadTooLarge(task=task, size=len(text), limit=limit)
    return text


def _slim(kept: dict[str, Any]) -> dict[str, Any]:
    """What is not as usual."""
    headers = {name: value for name, value in kept["headers"].items() if _USUAL_HEADERS.get(name, _SLIM) != value}
    if headers.get("root_id", _SLIM) == headers.get("id"):
        del headers["root_id"]
    slim = {name: value for name, value in kept.items() if _USUAL.get(name, _SLIM) != value} | {"headers": headers}
    if slim.get("correlation_id", _SLIM) == headers.get("id"):
        del slim["correlation_id"]
    if slim["declare"] == [slim.get("routing_key")]:
        del slim["declare"]
    if slim["body"].endswith(USUAL_END) and "base64" not in slim:
        slim["call"] = slim.pop("body")[: -len(USUAL_END)]
    return slim


#: Is no value of a message.
_SLIM = object()


def _whole(slim: dict[str, Any]) -> dict[str, Any]:
    """What it was before."""
    headers = {**copy.deepcopy(_USUAL_HEADERS), "root_id": slim["headers"].get("id"), **slim["headers"]}
    whole = {**_USUAL, "correlation_id": headers.get("id"), **slim, "headers": headers}
    whole.setdefault("declare", [whole.get("routing_key")])
    if "call" in whole:
        whole["body"] = whole.pop("call") + USUAL_END
    return whole


#: The headers of a message; what else a request holds was added by the worker.
_HEADERS = (
    *("lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id"),
    *("parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting"),
    *("stamped_headers", "stamps"),
)


def received(app: Celery, task: Any, request: dict[str, Any], args: Any, kwargs: Any, queue: str) -> str:
    """The message a request came from, kept as `pack` keeps it."""
    embed = {name: request.get(name) for name in ("callbacks", "errbacks", "chain", "chord")}
    wire = {
        "headers": {name: request.get(name) for name in _HEADERS} | {"eta": None},
        "correlation_id": request.get("correlation_id"),
        "reply_to": request.get("reply_to") or "",
        "serializer": task.serializer or app.conf.task_serializer,
        "exchange": "",
        "routing_key": queue,
    }
    wire = encoded(task.name, (args, kwargs, embed), wire)
    return pack(task.name, wire, app.jobkit.settings.max_message_bytes, ours=False)


def unpack(text: str, run: int) -> dict[str, Any]:
    """A kept message again, for this run of its job, as `Producer.publish` takes it."""
    wire = _whole(json.loads(text))
    wire.pop("digest", None)
    if wire.pop("base64", False):
        wire["body"] = base64.b64decode(wire["body"])
    wire["headers"] = {**wire["headers"], RUN_HEADER: run}
    return wire


def context(app: Celery, text: str, run: int) -> Context:
    """The request a kept message would make: what Celery needs to fail a task whose worker vanished.

    Raises: kombu's `ContentDisallowed` or `DecodeError` where the app cannot or may not read it.
    """
    wire = unpack(text, run)
    accept = prepare_accept_content(app.conf.accept_content)
    body = serialization.loads(wire["body"], wire["content_type"], wire["content_encoding"], accept=accept)
    args, kwargs, embed = body
    fields = {**wire["headers"], **embed, "args": args, "kwargs": kwargs, "delivery_info": {}}
    return Context(fields, called_directly=False)


def publish(app: Celery, text: str, run: int) -> None:
    """Publish a kept message for this run of its job: the bytes that were written when it was sent."""
    wire, conf = unpack(text, run), app.conf
    wire["declare"] = [app.amqp.queues[name] for name in wire["declare"]]
    with app.producer_or_acquire() as producer:
        producer.publish(**wire, retry=conf.task_publish_retry, retry_policy=dict(conf.task_publish_retry_policy))


def queue_size(app: Celery, name: str) -> int:
    """How many messages a queue holds, asked of the broker; 0 where it has no such queue."""
    with app.connection_or_acquire() as connection:
        try:
            return int(connection.default_channel.queue_declare(name, passive=True).message_count)
        except connection.channel_errors:
            return 0

"""A Celery message as text: kept with the record, so that anybody can publish it, once or again."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from celery.app.amqp import task_message
from celery.app.task import Context
from kombu import serialization
from kombu.exceptions import EncodeError
from kombu.serialization import prepare_accept_content
from kombu.utils import json

from jobkit.errors import NotSerializable, PayloadTooLarge

if TYPE_CHECKING:
    from celery import Celery

#: The header that says which run of its job a message is for.
RUN_HEADER = "job_run"

#: Options of a send that cannot be kept as text and are found again when it is published.
_LOCAL = frozenset({"declare", "event_dispatcher", "retry_policy", "retry", "timeout", "confirm_timeout"})


class CannotEncode(NotSerializable, EncodeError):
    """the arguments of {task} cannot be written as {serializer}: {reason}"""


def pack(app: Celery, name: str, message: Any, options: dict[str, Any], limit: int) -> str:
    """All that is needed to publish this message later, as JSON text.

    Raises: `NotSerializable` (also kombu's `EncodeError`), `PayloadTooLarge`.
    """
    serializer = options.get("serializer") or app.conf.task_serializer
    try:
        content_type, encoding, body = serialization.dumps(message.body, serializer)
        binary = isinstance(body, bytes)
        text = json.dumps(
            {
                "name": name,
                "headers": message.headers,
                "properties": message.properties,
                "event": message.sent_event,
                "body": [content_type, encoding, base64.b64encode(body).decode() if binary else body, binary],
                "options": {
                    key: _plain(value) for key, value in options.items() if key not in _LOCAL and value is not None
                },
            }
        )
    except (EncodeError, TypeError, ValueError) as exc:
        raise CannotEncode(task=name, serializer=serializer, reason=str(exc)) from exc
    if len(text) > limit:
        raise PayloadTooLarge(task=name, size=len(text), limit=limit)
    return text


def _plain(value: Any) -> Any:
    # A Queue or an Exchange is known by its name; the app has it, or makes it, when the message is published.
    return getattr(value, "name", value)


#: The headers of a message; what else a request holds was added by the worker.
_HEADERS = (
    *("lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id"),
    *("parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting"),
    *("stamped_headers", "stamps"),
)


def received(app: Celery, task: Any, request: dict[str, Any], args: Any, kwargs: Any, queue: str) -> str:
    """The message a request came from, kept as `pack` keeps it."""
    embed = {name: request.get(name) for name in ("callbacks", "errbacks", "chain", "chord")}
    headers = {name: request.get(name) for name in _HEADERS} | {"eta": None}
    properties = {"correlation_id": request.get("correlation_id"), "reply_to": request.get("reply_to") or ""}
    message = task_message(headers, properties, (args, kwargs, embed), None)
    options = {"queue": queue, "serializer": task.serializer}
    return pack(app, task.name, message, options, app.jobkit.settings.max_message_bytes)


def unpack(app: Celery, text: str, run: int) -> tuple[dict[str, Any], Any]:
    """A kept message again: what was kept, and the message as Celery's sender takes it.

    Raises: kombu's `ContentDisallowed` where the app does not accept how it was written.
    """
    kept = json.loads(text)
    content_type, encoding, data, binary = kept["body"]
    body = base64.b64decode(data) if binary else data
    args = serialization.loads(body, content_type, encoding, accept=prepare_accept_content(app.conf.accept_content))
    headers = {**kept["headers"], RUN_HEADER: run}
    return kept, task_message(headers, kept["properties"], tuple(args), kept["event"])


def context(app: Celery, text: str, run: int) -> Context:
    """The request a kept message would make: what Celery needs to fail a task whose worker vanished."""
    message = unpack(app, text, run)[1]
    args, kwargs, embed = message.body
    fields = {**message.headers, **embed, "args": args, "kwargs": kwargs, "delivery_info": {}}
    return Context(fields, called_directly=False)


def publish(app: Celery, text: str, run: int) -> None:
    """Publish a kept message for this run of its job, the way it would have gone at once."""
    kept, message = unpack(app, text, run)
    with app.producer_or_acquire() as producer:
        app.amqp.publish(producer, kept["name"], message, **kept["options"])


def queue_size(app: Celery, name: str) -> int:
    """How many messages a queue holds, asked of the broker; 0 where it has no such queue."""
    with app.connection_for_read() as connection, connection.channel() as channel:
        try:
            return int(channel.queue_declare(name, passive=True).message_count)
        except connection.channel_errors:
            return 0

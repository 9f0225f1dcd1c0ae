"""Which broker the apps of the tests have: what ``JOBKIT_TEST_BROKER`` says, as `make test-brokers` does.

"redis" is the store's Redis with jobkit's transport, as users have it; "kombu" the same with kombu's own; "rabbitmq" a
node that is started for the session, with a virtual host for each Redis.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from kombu.transport import redis

from jobkit.embedded import EmbeddedRedis
from tests import rabbit

VARIABLE = "JOBKIT_TEST_BROKER"


KINDS = ("redis", "kombu", "rabbitmq")


def kind() -> str:
    """The broker that is asked for."""
    asked = os.environ.get(VARIABLE, "redis")
    if asked not in KINDS:
        raise pytest.UsageError(f"{VARIABLE}={asked!r}: must be one of {', '.join(KINDS)}")
    return asked


@contextmanager
def chosen(request: pytest.FixtureRequest, kind: str) -> Iterator[None]:
    """Ask for this one; what is made inside is on it."""
    if kind == "rabbitmq":
        request.getfixturevalue("rabbitmq_node")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, kind)
        yield


def broker(url: str, empty: bool = False) -> str:
    """The URL of the broker beside this Redis; `empty` has nothing left in it."""
    if kind() != "rabbitmq":
        return url
    base = sha256(url.encode()).hexdigest()[:16]
    variable = f"JOBKIT_TEST_ROOM_{base}"
    if empty:  # connections know what they have declared: none meets another's room of that name
        rabbit.close(base + os.environ.get(variable, ""))
        os.environ[variable] = f"-{uuid4().hex[:8]}"
    return rabbit.room(base + os.environ.get(variable, ""))


def options() -> dict[str, Any]:
    """What the configuration of an app says of it."""
    return {"jobkit_transport": False} if kind() == "kombu" else {}


def beside(url: str) -> dict[str, Any]:
    """Arguments of a Celery app whose results, and jobs, are in this Redis."""
    return {"broker": broker(url), "backend": url, "changes": options()}


def variables(url: str) -> dict[str, str]:
    """The same for the shipped application, which reads its environment."""
    return {"CELERY_BROKER_URL": broker(url), "CELERY_RESULT_BACKEND": url}


def shipped() -> str:
    """The module of that application."""
    return "tests.shipped" if kind() == "kombu" else "workers.app"


def waiting(app: Any, queue: str = "celery", keep: bool = True) -> list[dict[str, Any]]:
    """The messages of a queue, first the one that goes next, as kombu writes them into Redis; or take them out."""
    with app.producer_or_acquire() as producer:  # what was published on its channel has come to the queue
        channel = producer.channel
        if isinstance(channel, redis.Channel):
            texts = channel.client.lrange(queue, 0, -1)[::-1]
            if not keep:
                channel.client.delete(queue)
            return [json.loads(text) for text in texts]
        app.amqp.queues[queue].bind(channel).declare()
        found = list(iter(lambda: channel.basic_get(queue, no_ack=not keep), None))
        for message in found if keep else ():
            channel.basic_reject(message.delivery_tag, requeue=True)
        return [_written(message.body, dict(message.properties)) for message in found]


def length(app: Any, queue: str = "celery") -> int:
    """How many messages wait in a queue."""
    with app.producer_or_acquire() as producer:
        channel = producer.channel
        if isinstance(channel, redis.Channel):
            return int(channel._size(queue))
        app.amqp.queues[queue].bind(channel).declare()
        return int(channel.queue_declare(queue, passive=True).message_count)


def put(app: Any, queue: str, *messages: dict[str, Any]) -> None:
    """Put messages into a queue, as they are."""
    with app.producer_or_acquire() as producer:
        channel = producer.channel
        app.amqp.queues[queue].bind(channel).declare()
        for message in messages:
            if isinstance(channel, redis.Channel):
                channel.client.lpush(queue, json.dumps(message))
                continue
            own = {name: message["properties"].get(name, "") for name in ("correlation_id", "reply_to")}
            kinds = message["content-type"], message["content-encoding"]
            made = channel.prepare_message(b64decode(message["body"]), 0, *kinds, message["headers"], own)
            channel.basic_publish(made, exchange="", routing_key=queue)


def _written(body: Any, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "body": b64encode(body if isinstance(body, bytes) else body.encode()).decode(),
        "content-type": properties.pop("content_type"),
        "content-encoding": properties.pop("content_encoding"),
        "headers": properties.pop("application_headers"),
        "properties": properties,
    }


class Both(EmbeddedRedis):
    """A private Redis; with each of its databases the broker beside it is emptied."""

    def fresh_url(self) -> str:
        """Address of an emptied logical database other than 0."""
        url = super().fresh_url()
        broker(url, empty=True)
        return url


def only(*kinds: str, why: str) -> pytest.MarkDecorator:
    """For tests of what only these brokers have, or do."""
    return pytest.mark.skipif(kind() not in kinds, reason=f"not on {kind()}: {why}")

"""What is kept of a message, without what is usual, makes the same message again."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from celery import chain, chord, group
from kombu.compression import decompress

from jobkit import JobKit
from jobkit.ext import messages
from tests.brokers import kind, waiting

SENT: dict[str, Callable[[Any], Any]] = {
    "plain": lambda add: add.delay(1, 2),
    "linked": lambda add: add.apply_async((1, 2), link=add.s(3), link_error=add.s(4, 5)),
    "a chain": lambda add: chain(add.s(1, 2), add.s(3))(),
    "a group": lambda add: group(add.s(1, n) for n in range(3))(),
    "a chord": lambda add: chord([add.s(1, 2)], add.s(3, 4).set(immutable=True))(),
    "with limits and headers": lambda add: add.apply_async(
        (1, 2), time_limit=9, soft_time_limit=8, expires=99, headers={"trace": None, "x": [1]}, ignore_result=True
    ),
    "with a priority, to a queue": lambda add: add.apply_async((1, 2), priority=3, queue="other", shadow="name"),
    "compressed": lambda add: add.apply_async((1, 2), compression="zlib"),
    "pickle": lambda add: add.apply_async((1, 2), serializer="pickle"),
    "arguments that look like the end": lambda add: add.delay(messages.USUAL_END, "%s"),
}


def message_of(jobs: JobKit, job_id: str) -> str:
    found: Any = jobs.store.client.hget(jobs.store.keys.job(job_id), "message")
    return str(found.decode())


@pytest.mark.parametrize("what", SENT)
def test_it_is_published_again_as_it_was(jobs: JobKit, add: Any, what: str) -> None:
    add.delay(1, 1)  # the first is published before the broker is known to be this Redis
    taken(jobs)
    SENT[what](add)
    first = taken(jobs)
    assert first
    for message in first:
        job_id = message["headers"]["id"]
        kept = message_of(jobs, job_id)
        assert messages.kept_digest(kept) == messages.digest(message["headers"], body(message))
        messages.publish(jobs.app, kept, 1)
    assert [known(message) for message in taken(jobs)] == [known(message) for message in first]


def taken(jobs: JobKit) -> list[dict[str, Any]]:
    """What went to the queues, out of them."""
    other = "other" if kind() == "rabbitmq" else "other\x06\x163"
    return [message for name in ("celery", other) for message in waiting(jobs.app, name, keep=False)]


def body(message: dict[str, Any]) -> bytes:
    text = base64.b64decode(message["body"])
    return decompress(text, message["headers"]["compression"]) if "compression" in message["headers"] else text


def known(message: dict[str, Any]) -> dict[str, Any]:
    """All but what is another for each publishing."""
    properties = {name: value for name, value in message["properties"].items() if name != "delivery_tag"}
    return {**message, "properties": properties}


def test_little_is_kept_of_a_usual_message(jobs: JobKit, add: Any) -> None:
    kept = message_of(jobs, add.delay(1, 2).id)
    assert set(json.loads(kept)) == {"digest", "routing_key", "headers", "reply_to", "call"}
    assert set(json.loads(kept)["headers"]) == {"task", "id", "argsrepr", "kwargsrepr", "origin"}

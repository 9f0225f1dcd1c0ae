"""The broker that is asked for, and a Redis beside it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from jobkit.embedded import EmbeddedRedis
from tests import brokers, rabbit


def pytest_configure() -> None:
    """What a shell started with ``&`` has no Ctrl-C, and would leave that to every program a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def rabbitmq_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private RabbitMQ that lives as long as the test session."""
    with rabbit.rabbitmq(tmp_path_factory.mktemp("rabbit")) as node:
        os.environ[rabbit.VARIABLE] = node
        yield node
        del os.environ[rabbit.VARIABLE]


@pytest.fixture(scope="session", autouse=brokers.kind() == "rabbitmq")
def _broker(request: pytest.FixtureRequest) -> None:
    """Also tests with a Redis of their own need it."""
    request.getfixturevalue("rabbitmq_node")


@pytest.fixture(scope="session")
def jobkit_redis() -> Iterator[EmbeddedRedis]:
    """A private Redis, and the broker beside it, that live as long as the test session."""
    with brokers.Both() as server:
        yield server

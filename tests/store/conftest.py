"""A world of its own for each test: an emptied database of the session's private Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from jobkit.embedded import EmbeddedRedis
from tests.store.world import World, keep_bytes_still


@pytest.fixture(scope="session")
def connection(jobkit_redis: EmbeddedRedis) -> Iterator[Redis]:
    with Redis.from_url(jobkit_redis.fresh_url()) as client:
        keep_bytes_still(client)
        yield client


@pytest.fixture
def url(jobkit_redis: EmbeddedRedis, client: Redis) -> str:
    """Where further connections to the same database go."""
    database = client.get_connection_kwargs()["db"]
    return jobkit_redis.url.rpartition("/")[0] + f"/{database}"


@pytest.fixture
def client(connection: Redis) -> Redis:
    # One connection for all tests: there are thousands of them.
    connection.flushdb()
    return connection


@pytest.fixture
def world(client: Redis) -> World:
    return World(client)

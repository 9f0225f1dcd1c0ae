"""A message and its record are written together where the broker's Redis is the store's; elsewhere kombu puts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from celery import Celery
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.messaging import Consumer
from redis import Redis

from jobkit import JobKit, State
from jobkit.embedded import EmbeddedRedis
from jobkit.ext import channel as channels
from jobkit.ext import identity, server
from jobkit.ext.transport import Transport
from jobkit.testing import eventually
from tests.brokers import only

with_it = only("redis", why="it is about jobkit's transport")
on_redis = only("redis", "kombu", why="it is about a broker that is Redis")


@contextmanager
def small(broker: str, backend: str, **conf: Any) -> Iterator[tuple[JobKit, Any]]:
    app = Celery("small", broker=broker, backend=backend)
    app.conf.update(conf)

    @app.task(name="small.add", shared=False)
    def add(a: int, b: int) -> int:
        return a + b

    jobs = JobKit(app)
    yield jobs, add
    jobs.close()


def messages(client: Any, queue: str = "celery") -> list[dict[str, Any]]:
    return [json.loads(text) for text in client.lrange(queue, 0, -1)]


def without_chance(message: dict[str, Any]) -> dict[str, Any]:
    """What two messages of one job have in common."""
    properties = {k: v for k, v in message["properties"].items() if k not in ("delivery_tag", "reply_to")}
    return {**message, "properties": properties}


@with_it
def test_delay_sends_one_command(jobs: JobKit, add: Any) -> None:
    for _ in range(3):
        add.delay(1, 2)  # until they are made like the first, by a script that is loaded
    with jobs.store.client.monitor() as monitor:
        jobs.store.client.ping()  # on a connection of its own: who listens has taken the other
        for n in range(10):
            add.delay(n, 1)
        jobs.store.client.echo("over")
        sent = []
        for command in monitor.listen():
            if command["command"].startswith("ECHO"):
                break
            if command["client_type"] != "lua":
                sent.append(command["command"].split()[0])
    assert sent[sent.index("PING") + 1 :] == 10 * ["EVALSHA"]
    assert len(messages(jobs.store.client)) == 13


def test_the_message_is_the_one_kombu_would_have_put(jobkit_store_url: str) -> None:
    both = []
    for on in (True, False):
        with small(jobkit_store_url, jobkit_store_url, jobkit_transport=on) as (jobs, add):
            add.apply_async((1, 2), task_id="same", headers={"color": "red"})
            [message] = messages(jobs.store.client)
            both.append(without_chance(message))
            jobs.store.client.flushdb()
    assert both[0] == both[1]
    assert both[0]["headers"]["job_run"] == 1


@on_redis
def test_people_read_the_url_they_wrote(app: Celery, jobs: JobKit) -> None:
    connection = app.connection_for_write()
    assert connection.as_uri().startswith("redis://")
    assert connection.info()["transport"] == "redis"


@with_it
def test_clones_and_pooled_connections_have_the_transport(app: Celery, jobs: JobKit) -> None:
    with app.producer_or_acquire() as producer:
        for connection in (app.connection_for_read(), app.connection_for_read().clone(), producer.connection):
            assert isinstance(connection.transport, Transport)


def test_an_app_without_it_does_not_get_it(jobs: JobKit, add: Any, jobkit_store_url: str) -> None:
    add.delay(1, 2)
    with Celery("other", broker=jobkit_store_url).producer_or_acquire() as producer:
        assert not isinstance(producer.connection.transport, Transport)


@pytest.mark.parametrize("databases", [("0", "2"), ("2", "0")])
def test_messages_and_records_may_be_in_two_databases(databases: tuple[str, str]) -> None:
    with EmbeddedRedis() as private:
        broker, store = (f"{private.url.rpartition('/')[0]}/{database}" for database in databases)
        with small(broker, store) as (jobs, add), Redis.from_url(broker) as queues:
            handle = add.delay(1, 2)
            assert handle.job.state is State.QUEUED
            assert [one["headers"]["id"] for one in messages(queues)] == [handle.id]
            assert jobs.store.client.llen("celery") == 0


def test_priorities_and_key_prefixes_are_kept(jobkit_store_url: str) -> None:
    options = {"global_keyprefix": "shop/", "sep": ":"}
    with small(jobkit_store_url, jobkit_store_url, broker_transport_options=options) as (jobs, add):
        add.apply_async((1, 2), priority=6)
        add.apply_async((1, 2), queue="other")
        queues = {key for key in jobs.store.client.keys("shop/*") if b"_kombu" not in key}
        assert queues == {b"shop/celery:6", b"shop/other"}


def test_what_goes_to_two_queues_goes_to_both(jobkit_store_url: str) -> None:
    news = Exchange("news", type="direct")
    queues = [Queue(name, news, routing_key="all") for name in ("left", "right")]
    with small(jobkit_store_url, jobkit_store_url, task_queues=queues) as (jobs, add):
        with jobs.app.connection_for_write() as connection:
            for queue in queues:
                queue(connection.default_channel).declare()
        handle = add.apply_async((1, 2), exchange=news, routing_key="all")
        for name in ("left", "right"):
            assert [one["headers"]["job_run"] for one in messages(jobs.store.client, name)] == [1]
        assert handle.job.state is State.QUEUED


def test_a_connection_that_was_cut_in_the_middle_of_a_fetch_can_be_closed() -> None:
    with EmbeddedRedis() as private, small(private.url, private.url) as (jobs, add):
        add.delay(1, 2)
        connection = jobs.app.connection_for_read()
        consumer = jobs.app.amqp.TaskConsumer(connection, callbacks=[lambda body, message: None])
        consumer.consume()
        connection.drain_events(timeout=5)
        with suppress(TimeoutError):
            connection.drain_events(timeout=0.1)
        channel = connection.default_channel
        assert channel._in_poll
        private.kill()
        connection.maybe_close_channel(channel)
        assert channel.closed  # with its transport gone it cannot be any more, and a worker ends at that


@on_redis
def test_what_became_of_a_message_may_be_said_once_its_connection_was_lost(jobs: JobKit, add: Any, worker: str) -> None:
    add.delay(1, 2)
    add.delay(3, 4)
    taken: list[Any] = []
    connection = jobs.app.connection_for_read()
    consumer = jobs.app.amqp.TaskConsumer(connection, callbacks=[lambda body, message: taken.append(message)])
    consumer.consume()
    eventually(lambda: connection.drain_events(timeout=1) or len(taken) == 2)
    connection.collect()  # as Celery does with one it has lost
    assert {message.channel.closed for message in taken} == {True}
    taken[0].ack()
    taken[1].reject(requeue=True)  # a worker ends at what these raise
    assert len(messages(jobs.store.client)) == 2


def calls(jobs: JobKit, command: str) -> int:
    found: Any = jobs.store.client.info("commandstats")
    return int(found.get(f"cmdstat_{command}", {}).get("calls", 0))


@pytest.fixture
def worker() -> Iterator[str]:
    """This process is a worker."""
    yield identity.be("one@here|boot")
    identity.be("")


@pytest.fixture
def channel(jobs: JobKit, worker: str) -> Iterator[Any]:
    """One of a worker that may reserve eight messages."""
    with jobs.app.connection_for_read() as connection:
        connection.default_channel.basic_qos(0, 8, False)
        yield connection.default_channel


def consumer(channel: Any, came: list[Any]) -> Consumer:
    return Consumer(channel, [Queue("celery", no_declare=True)], on_message=came.append)


@with_it
def test_who_has_read_answers_takes_many_at_once_again(jobs: JobKit, add: Any, channel: Any) -> None:
    """A worker that starts asks others who they are, and reads what they say on the channel of its jobs."""
    sent, came = [add.delay(n, 1).id for n in range(8)], list[Any]()
    with Consumer(channel, [Queue("answers", no_declare=True)], no_ack=True):
        pass
    with consumer(channel, came):
        before = calls(jobs, "brpop")
        while len(came) < len(sent) - 1:  # half of what waits with each call
            channel.connection.client.drain_events(timeout=5)
    assert [message.headers["id"] for message in came] == sent[: len(came)]
    assert calls(jobs, "brpop") == before


@with_it
def test_a_busy_worker_asks_for_more_once_there_is_room_for_some(
    jobs: JobKit, add: Any, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "PAUSE", 60.0)
    jobs.spare, came = 6, list[Any]()
    for n in range(40):
        add.delay(n, 1)
    with consumer(channel, came):
        channel.connection.client.drain_events(timeout=5)
        assert len(came) == 8
        for message in came[:2]:
            message.ack()
        with pytest.raises(TimeoutError):
            channel.connection.client.drain_events(timeout=0.1)
        came[2].ack()
        channel.connection.client.drain_events(timeout=5)
    assert len(came) == 8 + 3


def test_a_connection_of_ones_own_is_used_as_it_is(jobs: JobKit, add: Any, jobkit_store_url: str) -> None:
    with Connection(jobkit_store_url) as connection:
        handle = add.apply_async((1, 2), connection=connection)
    assert handle.job.state is State.QUEUED
    assert len(messages(jobs.store.client)) == 1


SENTINELS = "sentinel://one:26379;sentinel://two:26379"


@pytest.mark.parametrize(
    ("broker", "store", "shared"),
    [
        ("redis://localhost", "redis://localhost:6379/0", True),
        ("redis://localhost:6379/1", "redis://localhost/2", True),
        ("redis://localhost", "redis://localhost:6380", False),
        ("redis://localhost", "redis://elsewhere", False),
        ("redis://user:pass@localhost", "redis://localhost", False),
        ("redis://user:pass@localhost", "redis://user:pass@localhost/3", True),
        ("rediss://localhost", "rediss://localhost", True),
        ("redis+socket:///tmp/r.sock", "socket:///tmp/r.sock?virtual_host=2", True),
        ("redis+socket:///tmp/r.sock", "socket:///tmp/other.sock", False),
        (SENTINELS, SENTINELS, True),
        ("sentinel://one:26379", SENTINELS, False),
        ("redis://localhost;redis://other", "redis://localhost", False),
    ],
)
def test_which_brokers_are_the_stores_redis(broker: str, store: str, shared: bool) -> None:
    options = {"master_name": "m"}
    ours, theirs = server.of(Connection(broker, transport_options=options)), server.of_url(store, options)
    assert ours.shares(theirs) is shared


def test_databases_are_read_from_urls() -> None:
    for url, db in (("redis://h/3", "3"), ("redis://h", "0"), ("redis+socket:///tmp/s?virtual_host=4", "4")):
        assert server.of(Connection(url)).db == server.of_url(url, {}).db == db
    assert server.of(Connection("sentinel://one/5;sentinel://two")).db == "5"

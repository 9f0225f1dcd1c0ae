"""kombu's Redis transport, as far as messages of recorded jobs need less: they cannot be lost, whoever dies with them.

A worker takes as many as it has room for in one round trip, and holds their jobs from that moment on; what it need not
do for them is to write each down once more until it is acknowledged.  A client hands the message to the script that
records the job.  All else (messages without a record, fanout, priorities, prefetch, shutdown) is kombu's own.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from kombu.transport import redis as theirs

from jobkit.ext import server
from jobkit.ext.channel import Channel, SentinelChannel
from jobkit.ext.eventloop import Loop
from jobkit.ext.server import Server
from jobkit.ext.urls import store_url

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit


class Transport(theirs.Transport):
    """kombu's Redis transport with such channels; every app has a class of its own, that knows it."""

    Channel = Channel
    jobs: JobKit
    client: Any

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Have messages delivered by the event loop."""
        super().register_with_event_loop(connection, Loop(loop))

    @cached_property
    def _servers(self) -> tuple[Server, Server]:
        options = self.jobs.app.conf.result_backend_transport_options
        return server.of(self.client), server.of_url(store_url(self.jobs), options)

    @property
    def shares_store(self) -> bool:
        """Are messages and records in the same Redis?"""
        broker, store = self._servers
        return broker.shares(store)

    @property
    def db(self) -> str:
        """The database of the messages, "" where it is that of the records."""
        broker, store = self._servers
        return "" if broker.db == store.db else broker.db

    @property
    def store_db(self) -> str:
        """The database of the records, "" where it is that of the messages."""
        broker, store = self._servers
        return "" if broker.db == store.db else store.db


class SentinelTransport(Transport, theirs.SentinelTransport):
    """The same behind Redis Sentinel."""

    Channel = SentinelChannel

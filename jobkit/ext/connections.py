"""The broker connections of an app: Celery's own, with our transport where kombu's Redis transport would be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kombu.connection import Connection
from kombu.transport import redis as theirs

from jobkit.ext.transport import SentinelTransport, Transport

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

#: kombu's transports, and what stands for them.
_OURS = {theirs.Transport: Transport, theirs.SentinelTransport: SentinelTransport}


class JobConnection(Connection):
    """Celery's connection to its broker; those it is cloned to and pooled as have its transport.

    It is not set by `broker_transport`: that is what people, and Flower, read where they wrote `redis://`.
    """

    jobs: JobKit
    #: kombu's transports, and what stands for them here.
    transports: Mapping[type, type]

    def _init_params(self, *args: Any, **kwargs: Any) -> None:
        super()._init_params(*args, **kwargs)
        if self.jobs.settings.transport:
            self.transport_cls = self.transports.get(self.get_transport_cls(), self.transport_cls)


def connection_class(jobs: JobKit) -> type[JobConnection]:
    """The class of an app's broker connections: Celery makes them without saying whose they are."""
    made = {their: type(our.__name__, (our,), {"jobs": jobs}) for their, our in _OURS.items()}
    names = {our: "sentinel" if issubclass(our, SentinelTransport) else "redis" for our in made.values()}
    aliases: dict[Any, str] = {**Connection.resolve_aliases, **names}
    known = {"jobs": jobs, "transports": made, "resolve_aliases": aliases}
    return type("JobConnection", (JobConnection,), known)


def shares_store(producer: Any) -> bool:
    """Can what this producer sends be put by the script that records its job?

    Not before it is connected: kombu waits for a Redis that does not answer without an end, the record does not.
    """
    connection = producer.connection
    transport = connection.transport if connection is not None and connection.connected else None
    return isinstance(transport, Transport) and transport.shares_store

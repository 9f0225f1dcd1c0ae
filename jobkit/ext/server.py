"""Which Redis it is that a URL names, or a connection: is the broker's the store's too?"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from kombu.connection import Connection
from kombu.transport.redis import SentinelTransport

_PORTS = {"sentinel": 26379}


class Server(NamedTuple):
    """A Redis (all its Sentinels, and the name of the master), who asks it, and its database."""

    place: tuple[Any, ...]
    user: str
    db: str

    def shares(self, other: Server) -> bool:
        """Is it the same Redis, asked by the same user?"""
        return (self.place, self.user) == (other.place, other.user)


def of_url(url: str, options: dict[str, Any]) -> Server:
    """The Redis of a URL as Celery takes it, and its transport options."""
    urls = [urlsplit(one.removeprefix("redis+")) for one in url.split(";")]
    first = urls[0]  # Celery and kombu take user and database from the first Sentinel
    if first.scheme == "socket":
        query = parse_qs(first.query)
        return Server((first.path,), first.username or "", _db(query.get("virtual_host", [""])[0]))
    places = sorted((one.hostname or "localhost", one.port or _PORTS.get(one.scheme, 6379)) for one in urls)
    master = options.get("master_name") if first.scheme == "sentinel" else None
    return Server((master, *places), first.username or "", _db(first.path))


def of(connection: Connection) -> Server:
    """The Redis of a broker connection."""
    options, host = connection.transport_options or {}, connection.hostname or "localhost"
    if host.startswith("socket://"):
        return of_url(host, options)
    if issubclass(connection.get_transport_cls(), SentinelTransport):
        return of_url(";".join(connection.alt or [f"sentinel://{host}:{connection.port}"]), options)._replace(
            user=connection.userid or "", db=_db(connection.virtual_host)
        )
    places = [(host, connection.port or 6379)] if len(connection.alt or ()) < 2 else [tuple(connection.alt)]
    return Server((None, *places), connection.userid or "", _db(connection.virtual_host))


def _db(text: Any) -> str:
    return str(text or "").strip("/") or "0"

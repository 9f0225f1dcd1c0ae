"""Where a private server listens, and who answers there."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

PORTS = range(20_000, 32_000)  #: below what systems give to outgoing connections: a restart finds its port free
TIMEOUT = 2.0  #: seconds a server has to answer


def free_port() -> int:
    """A random port of 127.0.0.1 on which nobody listens at this moment."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


@dataclass(frozen=True, slots=True)
class Address:
    """A port of 127.0.0.1 and the password of the server there."""

    port: int
    password: str

    def url(self, database: int) -> str:
        """The URL of a logical database."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{database}"

    def empty(self, database: int) -> None:
        """Empty a logical database."""
        with self._client(database, 20) as client:
            client.flushdb()

    def info(self) -> dict[str, Any] | None:
        """What the server says of itself; None when it does not answer, still loads, or is another one."""
        try:
            with self._client(0) as client:
                client.ping()
                required = client.config_get("requirepass")["requirepass"]  # a server without one takes any password
                info = dict(client.info("server"))
        except RedisError:
            return None
        return info if required == self.password else None

    def _client(self, database: int, timeout: float = TIMEOUT) -> Redis:
        return Redis.from_url(self.url(database), socket_timeout=timeout, socket_connect_timeout=timeout)

"""A wire to Redis that can be made to fail: answers lost after the work was done, or errors in place of work."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

from redis import Redis


class Proxy:
    """Passes commands to the Redis at `url`, one connection per thread.

    `lose` answers are thrown away, with the connection, after Redis has executed the script; each of `errors` is
    answered in place of executing one.  Only the command `of` counts, calls of scripts, so that the handshake passes.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://:{parts.password}@127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"
        self.lose, self.lost = 0, 0
        self.errors: list[bytes] = []
        self.of = b"EVAL"
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # A connection may be cut at any moment, also while it is written to.
        with (
            suppress(BrokenPipeError, ConnectionResetError),
            closing(client),
            closing(socket.create_connection(self._target)) as server,
        ):
            self._open |= {client, server}
            while request := client.recv(1 << 20):
                script = self.of in request[:20]
                if script and self.errors:
                    client.sendall(self.errors.pop(0) + b"\r\n")
                    continue
                server.sendall(request)
                answer = server.recv(1 << 20)
                if script and self.lose and not answer.startswith(b"-NOSCRIPT"):
                    self.lose -= 1
                    self.lost += 1
                    return
                client.sendall(answer)

    def cut(self) -> None:
        """Break every connection there is."""
        while self._open:
            with suppress(OSError):  # it has gone by itself
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, Redis]]:
    """A proxy in front of this Redis, and a client that uses it."""
    proxy = Proxy(url)
    with closing(proxy), Redis.from_url(proxy.url, socket_timeout=5) as client:
        yield proxy, client

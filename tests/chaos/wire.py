"""A wire to Redis that can be cut, held, slowed and made to lose things: one TCP proxy per worker."""

from __future__ import annotations

import random
import socket
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

CHUNK = 1 << 16
#: Seconds between two looks of a thread that is held.
LOOK = 0.02


class Wire:
    """Passes bytes on to the Redis at `url`.

    `held`: nothing passes, in neither direction, and nobody is told, as where packets are dropped.  `delay`: seconds a
    chunk takes.  `resets`, `lost_requests`, `lost_answers`: the part of chunks at which the connection is reset, before
    a request has passed, or after it has and before its answer does.
    """

    def __init__(self, url: str, seed: int = 0) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._user = f":{parts.password}@127.0.0.1:{self._listener.getsockname()[1]}"
        self._random = random.Random(seed)
        self.held = False
        self.delay = (0.0, 0.0)
        self.resets = self.lost_requests = self.lost_answers = 0.0
        self.lost = 0
        #: Requests that hold one of these get no answer: each once, and then it is gone from here.
        self.unanswered: list[bytes] = []
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, url: str) -> str:
        """The same address over this wire."""
        parts = urlsplit(url)
        return f"{parts.scheme}://{self._user}{parts.path}"

    def _accept(self) -> None:
        with suppress(OSError):  # closed: the test is over
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._open |= {client, server}
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, asking: bool) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                time.sleep(self._random.uniform(*self.delay))
                while self.held:
                    time.sleep(LOOK)
                if self._loses(asking):
                    break
                target.sendall(data)
                if asking and self._leaves_unanswered(data):
                    break
        self._cut(source, target)

    def _loses(self, asking: bool) -> bool:
        chance = self._random.random()
        lost = chance < self.resets + (self.lost_requests if asking else self.lost_answers)
        self.lost += lost
        return lost

    def _leaves_unanswered(self, data: bytes) -> bool:
        found = next((word for word in self.unanswered if word in data), None)
        if found:
            self.unanswered.remove(found)
        return found is not None

    def _cut(self, *ends: socket.socket) -> None:
        for end in ends:
            self._open.discard(end)
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Close everything."""
        self.held = False
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut(*list(self._open))

"""The event loop as kombu's Redis transport sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Loop:
    """kombu says with every turn which sockets it reads; only what is new of that reaches the loop itself.

    To say it again costs a call to the system that fails, for each socket.  Who lets go of a socket takes it out of
    the loop, so that it is new again.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """Have `callback` called when there is something to read."""
        if self._loop.readers.get(fd) != (callback, args):
            self._loop.add_reader(fd, callback, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

"""What a channel of kombu would put into Redis, for a script that puts it together with the record of its job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from kombu.transport import redis as theirs
from kombu.utils.json import dumps

from jobkit.store import Put

if TYPE_CHECKING:
    _Base = theirs.Channel
else:
    _Base = object

#: Where the channel of a client puts a message that is not to be sent by it.
_puts: ContextVar[list[Put | None] | None] = ContextVar("jobkit_puts", default=None)


@contextmanager
def caught() -> Iterator[list[Put | None]]:
    """What is published inside goes nowhere: it is in the list; None stands for what cannot be put by a script."""
    puts: list[Put | None] = []
    token = _puts.set(puts)
    try:
        yield puts
    finally:
        _puts.reset(token)


class Putting(_Base):
    """A channel whose messages can be caught."""

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        puts = _puts.get()
        if puts is None:
            return super()._put(queue, message, **kwargs)
        key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
        plain = queue not in self._expires
        puts.append(Put(self.global_keyprefix + key, dumps(message), self.connection.db) if plain else None)

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **kwargs: Any) -> None:
        puts = _puts.get()
        if puts is None:
            return super()._put_fanout(exchange, message, routing_key, **kwargs)
        puts.append(None)


class Pushes:
    """Stands in for a pipeline while kombu says where it would put a message back."""

    def __init__(self, channel: Putting) -> None:
        self._prefix, self._db = channel.global_keyprefix, channel.connection.db
        self.puts: list[tuple[str, Put]] = []

    def lpush(self, key: str, message: str) -> None:
        """To the end of the queue."""
        self.puts.append(("L", Put(self._prefix + key, message, self._db)))

    def rpush(self, key: str, message: str) -> None:
        """To its head."""
        self.puts.append(("R", Put(self._prefix + key, message, self._db)))

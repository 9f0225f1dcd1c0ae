"""A script's way to Redis and back on a connection of redis-py, without what its commands of any kind need besides."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from redis import ConnectionError, ConnectionPool, Redis, ResponseError
from redis.utils import HIREDIS_AVAILABLE

if HIREDIS_AVAILABLE:
    from hiredis import pack_command

#: Who traces commands puts something of his own in its place, and sees each of them.
_EXECUTE = Redis.execute_command
_TRACED = hasattr(_EXECUTE, "__wrapped__")
#: Of the connections a pool may have, one in so many is kept at hand: taking and returning it costs as much as a call.
_SHARE = 4


class _Kept(list[Any]):
    """Connections that are kept, and by which process."""

    pid = os.getpid()


class Calls:
    """Calls of loaded scripts by one client.

    Most processes make one call at a time: the connection of the last one is kept for the next.  One on which anything
    but an answer was seen goes back to its pool, closed.
    """

    def __init__(self, client: Redis) -> None:
        self._client, self._pool = client, client.connection_pool
        #: All who share a pool share what is kept of it.
        self._kept: _Kept = vars(self._pool).setdefault("jobkit_kept", _Kept())
        # Another kind of pool wants to see each connection again: whose master has moved, who waits for one.
        self._most = self._pool.max_connections // _SHARE if type(self._pool) is ConnectionPool else 0

    def __call__(self, sha: str, base: str, args: tuple[Any, ...]) -> Any:
        """Run a loaded script; as long as this client tries a command.  Raises: what redis-py raises."""
        client = self._client
        if not HIREDIS_AVAILABLE or _TRACED or Redis.execute_command is not _EXECUTE or client.connection:
            return client.evalsha(sha, 1, base, *written(args))
        packed = [_packed(("EVALSHA", sha, 1, base), args)]
        if kept := self._take():
            try:
                return self._seen(kept, _ask, kept, packed)
            except ConnectionError:
                pass  # Redis may have closed it while nobody used it
        connection: Any = self._pool.get_connection()
        tries = connection.retry.call_with_retry
        return self._seen(connection, tries, lambda: _ask(connection, packed), lambda error: connection.disconnect())

    def _seen(self, connection: Any, call: Callable[..., Any], *args: Any) -> Any:
        try:
            answer = call(*args)
        except ResponseError:
            self._keep(connection)
            raise
        except BaseException:
            connection.disconnect()
            self._pool.release(connection)
            raise
        self._keep(connection)
        return answer

    def _take(self) -> Any:
        if self._kept.pid != os.getpid():
            self._kept.clear()  # they are the parent's
            self._kept.pid = os.getpid()
        try:
            return self._kept.pop()
        except IndexError:
            return None

    def _keep(self, connection: Any) -> None:
        # Redis has said that it moves: redis-py since 7.
        moves = getattr(connection, "should_reconnect", bool)()
        if not moves and len(self._kept) < self._most:
            return self._kept.append(connection)
        if moves:
            connection.disconnect()
        self._pool.release(connection)


def _ask(connection: Any, packed: list[Any]) -> Any:
    connection.send_packed_command(packed)
    return connection.read_response()


def written(args: tuple[Any, ...]) -> list[Any]:
    """What is no character (a file name may hold half of one) is spelt out: it must not keep a verb from being done."""
    return [arg.encode("utf-8", "backslashreplace") if isinstance(arg, str) else arg for arg in args]


def _packed(head: tuple[Any, ...], args: tuple[Any, ...]) -> Any:
    try:
        return pack_command((*head, *args))
    except UnicodeEncodeError:
        return pack_command((*head, *written(args)))

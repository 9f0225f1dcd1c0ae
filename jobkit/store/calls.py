"""A script's way to Redis and back on a connection of redis-py, without what its commands of any kind need besides."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.utils import HIREDIS_AVAILABLE

if HIREDIS_AVAILABLE:
    from hiredis import pack_command

#: Who traces commands puts something of his own in its place, and sees each of them.
_EXECUTE = Redis.execute_command
_TRACED = hasattr(_EXECUTE, "__wrapped__")


def evalsha(client: Redis, sha: str, base: str, args: tuple[Any, ...]) -> Any:
    """Run a loaded script; as long as this client tries a command.  Raises: what redis-py raises."""
    if not HIREDIS_AVAILABLE or _TRACED or Redis.execute_command is not _EXECUTE or client.connection:
        return client.evalsha(sha, 1, base, *written(args))
    packed = [_packed(("EVALSHA", sha, 1, base), args)]
    pool = client.connection_pool
    connection: Any = pool.get_connection()

    def call() -> Any:
        connection.send_packed_command(packed)
        return connection.read_response()

    try:
        return connection.retry.call_with_retry(call, lambda error: connection.disconnect())
    finally:
        if getattr(connection, "should_reconnect", bool)():  # Redis has said that it moves: redis-py since 7
            connection.disconnect()
        pool.release(connection)


def written(args: tuple[Any, ...]) -> list[Any]:
    """What is no character (a file name may hold half of one) is spelt out: it must not keep a verb from being done."""
    return [arg.encode("utf-8", "backslashreplace") if isinstance(arg, str) else arg for arg in args]


def _packed(head: tuple[Any, ...], args: tuple[Any, ...]) -> Any:
    try:
        return pack_command((*head, *args))
    except UnicodeEncodeError:
        return pack_command((*head, *written(args)))

"""One call to Redis: tried again while that is safe and short, and every failure named."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

from redis import exceptions as failures

from jobkit.errors import StoreError, StoreRefused, StoreUnavailable

T = TypeVar("T")

#: Seconds a call is tried again while Redis does not answer, before `StoreUnavailable` says so.
PATIENCE = 3.0
#: Seconds of the first pause between two tries; it doubles, with jitter, up to the last.
FIRST_PAUSE, LAST_PAUSE = 0.05, 0.5

#: What may pass by itself, by its class and by the word it begins with.
_PASSING = (failures.ConnectionError, failures.TimeoutError, failures.TryAgainError, failures.ClusterDownError)
_PASSING_WORDS = ("BUSY ",)
_FINAL = (failures.AuthenticationError, failures.AuthorizationError, failures.MaxConnectionsError)

#: What Redis refuses: the classes, what they say inside of a script, and what helps.
_REFUSALS: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    (_FINAL[:2], r"^(NOAUTH|WRONGPASS)", ": check the user name and password"),
    ((failures.ReadOnlyError,), r"^READONLY", ": this is a replica, write to its master"),
    ((failures.OutOfMemoryError,), r"OOM|maxmemory", ": raise maxmemory or let ended jobs expire sooner"),
    ((failures.NoPermissionError,), r"executing the script can't|ACL failure", ": give this user the permission"),
    ((), r"^(MISCONF|NOREPLICAS)", ""),
)


def patiently(call: Callable[[], T], url: str, patience: float = PATIENCE) -> T:
    """Call it, and again while Redis does not answer: every script survives being sent twice.

    Raises: `StoreUnavailable` after `patience` seconds, `StoreRefused` or `StoreError` at once.
    """
    deadline, pause = time.monotonic() + patience, FIRST_PAUSE
    while True:
        try:
            return call()
        except failures.RedisError as exc:
            rest = deadline - time.monotonic()
            if not _passes(exc) or rest <= 0:
                raise named(exc, url) from exc
        time.sleep(min(rest, pause * random.uniform(0.5, 1.5)))  # noqa: S311  jitter, not a secret
        pause = min(2 * pause, LAST_PAUSE)


def _passes(exc: failures.RedisError) -> bool:
    return (isinstance(exc, _PASSING) and not isinstance(exc, _FINAL)) or str(exc).startswith(_PASSING_WORDS)


def named(exc: failures.RedisError, url: str) -> StoreError:
    """The jobkit error for a failure of redis-py: the one place where the two meet."""
    reason = str(exc) or type(exc).__name__
    for kinds, words, help_ in _REFUSALS:
        if isinstance(exc, kinds) or re.search(words, reason):
            return StoreRefused(url=url, reason=reason + help_)
    if isinstance(exc, _PASSING) or _passes(exc):
        return StoreUnavailable(url=url, reason=reason)
    return StoreError(url=url, reason=reason)

"""One call to Redis: tried again while that is safe and short, and every failure named."""

from __future__ import annotations

import random
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

_PASSING = (failures.ConnectionError, failures.TimeoutError, failures.BusyLoadingError, failures.TryAgainError)
_FINAL = (failures.AuthenticationError, failures.AuthorizationError, failures.MaxConnectionsError)


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
            if not isinstance(exc, _PASSING) or isinstance(exc, _FINAL) or rest <= 0:
                raise named(exc, url) from exc
        time.sleep(min(rest, pause * random.uniform(0.5, 1.5)))  # noqa: S311  jitter, not a secret
        pause = min(2 * pause, LAST_PAUSE)


def named(exc: failures.RedisError, url: str) -> StoreError:
    """The jobkit error for a failure of redis-py: the one place where the two meet."""
    reason = str(exc) or type(exc).__name__
    if isinstance(exc, _FINAL) or reason.startswith(("NOAUTH", "WRONGPASS")):
        return StoreRefused(url=url, reason=f"{reason}: check the user name and password")
    if isinstance(exc, failures.ReadOnlyError):
        return StoreRefused(url=url, reason=f"{reason}: this is a replica, write to its master")
    if isinstance(exc, failures.OutOfMemoryError) or "OOM" in reason or "maxmemory" in reason:
        return StoreRefused(url=url, reason=f"{reason}: raise maxmemory or let ended jobs expire sooner")
    if isinstance(exc, failures.NoPermissionError) or reason.startswith("MISCONF"):
        return StoreRefused(url=url, reason=reason)
    if isinstance(exc, _PASSING):
        return StoreUnavailable(url=url, reason=reason)
    return StoreError(url=url, reason=reason)

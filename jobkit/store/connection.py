"""One call to Redis: tried again while that is safe and short, and every failure named."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

from redis import exceptions as failures

from jobkit.errors import StoreError, StoreRefused, StoreUnavailable

T = TypeVar("T")

log = logging.getLogger("jobkit")

#: Seconds a call is tried again while Redis does not answer, before `StoreUnavailable` says so.
PATIENCE = 3.0
#: Seconds of the first pause between two tries; it doubles, with jitter, up to the last.
FIRST_PAUSE, LAST_PAUSE = 0.05, 0.5

#: Seconds a worker holds on to what has happened (the end of a run) while it cannot be recorded.
LATE = 3600.0

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
    return _again_and_again(call, url, patience, _passes, lambda exc: None)


def stubbornly(call: Callable[[], T], url: str, what: str) -> T:
    """Call it, and again for `LATE` seconds whatever Redis says: what has happened is reported late, not never.

    Redis may be away, full, without a disk to write to, a replica for now; `what` is said once in the log.
    Raises: `StoreError` when that did not help either.
    """
    told: list[StoreError] = []

    def tell(exc: failures.RedisError) -> None:
        if not told:
            told.append(named(exc, url))
            log.warning("%s cannot be recorded now, trying on: %s", what, told[0])

    answer = _again_and_again(call, url, LATE, _may_pass, tell)
    if told:
        log.warning("%s is recorded at last", what)
    return answer


def _again_and_again(
    call: Callable[[], T],
    url: str,
    patience: float,
    passes: Callable[[failures.RedisError], bool],
    tell: Callable[[failures.RedisError], None],
) -> T:
    deadline, pause = time.monotonic() + patience, FIRST_PAUSE
    while True:
        try:
            return call()
        except failures.RedisError as exc:
            rest = deadline - time.monotonic()
            if not passes(exc) or rest <= 0:
                raise named(exc, url) from exc
            tell(exc)
        time.sleep(min(rest, pause * random.uniform(0.5, 1.5)))  # noqa: S311  jitter, not a secret
        pause = min(2 * pause, LAST_PAUSE)


def _passes(exc: failures.RedisError) -> bool:
    return (isinstance(exc, _PASSING) and not isinstance(exc, _FINAL)) or str(exc).startswith(_PASSING_WORDS)


def _may_pass(exc: failures.RedisError) -> bool:
    return isinstance(named(exc, ""), StoreUnavailable | StoreRefused)


def named(exc: failures.RedisError, url: str) -> StoreError:
    """The jobkit error for a failure of redis-py: the one place where the two meet."""
    reason = str(exc) or type(exc).__name__
    for kinds, words, help_ in _REFUSALS:
        if isinstance(exc, kinds) or re.search(words, reason):
            return StoreRefused(url=url, reason=reason + help_)
    if isinstance(exc, _PASSING) or _passes(exc):
        return StoreUnavailable(url=url, reason=reason, silent=_silent(exc))
    return StoreError(url=url, reason=reason)


def _silent(exc: BaseException) -> bool:
    cause = exc.__cause__ or exc.__context__
    if isinstance(cause, OSError) and cause is not exc:
        return not isinstance(cause, ConnectionRefusedError | ConnectionResetError | BrokenPipeError)
    return isinstance(exc, failures.TimeoutError)

"""Who holds which lock, and who waits for it; and the verb that lets the next ones go."""

from __future__ import annotations

from typing import Any

from jobkit.model import LockState
from jobkit.store.jobs import JobStore
from jobkit.store.values import clean, operation

#: Names one call looks at.
BATCH = 50


def grant(store: JobStore, by: str, most: int = BATCH) -> int:
    """Let those go for whom a rate has opened by now; returns how many names were looked at."""
    return int(store.run("grant", operation(), clean(by), most))


def listing(store: JobStore) -> tuple[LockState, ...]:
    """Every lock that is held or waited for, by name."""
    keys = store.keys
    found: Any = store.call(lambda: store.client.smembers(keys.key("locks")))
    names = sorted(name.decode() for name in found)

    def read() -> list[Any]:
        with store.client.pipeline(transaction=True) as pipe:
            for name in names:
                pipe.hgetall(keys.key("lock", name))
                pipe.zrange(keys.key("waiters", name), 0, -1)
            return pipe.execute()

    rows = iter(store.call(read))
    states = [_state(name, holders, waiters) for name, holders, waiters in zip(names, rows, rows, strict=True)]
    return tuple(state for state in states if state.holders or state.waiters)


def _state(name: str, holders: dict[bytes, bytes], waiters: list[bytes]) -> LockState:
    fences = {job_id.decode(): int(fence) for job_id, fence in holders.items() if job_id}
    # A waiter is written as the letter of what it wants, and its id.
    return LockState(name, fences, tuple(one.decode()[1:] for one in waiters), holders.get(b"") == b"s")

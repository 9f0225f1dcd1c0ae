"""Drop ended jobs whose time is over, and those there is no room for; look after the memory of Redis."""

from __future__ import annotations

import time

from jobkit.store import JobStore
from jobkit.store.values import Pruned

#: Jobs one call drops at most, and calls of one round: a call takes Redis a millisecond or two.
BATCH, CALLS = 200, 20
#: Seconds between two looks at the memory of Redis.
PAUSE = 2.0
#: The part of `maxmemory` from which on memory is at stake.
FULL = 0.9


def run_once(store: JobStore, *, urgent: bool = False) -> Pruned:
    """One round: returns how many records went, and why.

    `urgent`: memory is at stake, so that jobs go that have not been kept the least time; at most one call of them.
    """
    for _ in range(CALLS):
        if store.let_go(BATCH) < BATCH:
            break
    total = Pruned(0, 0)
    for call in range(CALLS):
        found = store.prune(BATCH, urgent=urgent and call == 0)
        total = Pruned(total.aged + found.aged, total.evicted + found.evicted)
        if sum(found) < BATCH:
            break
    return total


class Retention:
    """The duty of a worker's keeper: `run_once`, and urgent where Redis is nearly full."""

    def __init__(self, store: JobStore) -> None:
        self._store, self._next, self._full = store, 0.0, False

    def run_once(self) -> Pruned:
        """One round."""
        if self._full or time.monotonic() >= self._next:
            self._next = time.monotonic() + PAUSE
            self._full = is_full(self._store)
        return run_once(self._store, urgent=self._full)


def is_full(store: JobStore) -> bool:
    """Is Redis so near its `maxmemory` that memory is at stake?"""
    used, most = store.memory()
    return most > 0 and used > FULL * most

"""Drop ended jobs whose time is over."""

from __future__ import annotations

from jobkit.store import JobStore

#: Jobs one round drops at most.
BATCH = 500


def run_once(store: JobStore) -> int:
    """One round: returns how many records went."""
    return store.prune(BATCH)

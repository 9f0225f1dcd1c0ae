"""Let those go whose turn has come at a lock: a rate has opened, or one call had too many to look at."""

from __future__ import annotations

from jobkit.store import JobStore, locks


def run_once(store: JobStore, by: str) -> int:
    """One round: returns how many locks were looked at; what may go is published by the round of publishing."""
    return locks.grant(store, by)

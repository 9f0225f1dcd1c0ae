"""Lift the blocks whose time is over, and go on where somebody who lifted one broke off."""

from __future__ import annotations

from collections.abc import Callable

from jobkit.hosts import lift
from jobkit.store import JobStore, Verdict, blocks


def run_once(store: JobStore, publish: Callable[[Verdict], None], by: str) -> int:
    """One round: returns how many blocks were lifted."""
    return sum(lift(store, kind, name, by, publish, text) for kind, name, text in blocks.over(store))

"""Which duties have something to do: one question for all of them."""

from __future__ import annotations

from jobkit.store import JobStore

#: The duties that wait for a time, and where it stands.
WAITS = {
    "turns": ("openings",),
    "publishing": ("due", "outbox"),
    "lost messages": ("suspects",),
    "overtime": ("deadlines",),
    "retention": ("heads", "read", "pinned", "families"),
}
_KINDS = tuple(kind for kinds in WAITS.values() for kind in kinds)


def idle(store: JobStore) -> set[str]:
    """The duties for which no time is over."""
    found = {kind.decode() for kind in store.run("look", *_KINDS)}
    return {duty for duty, kinds in WAITS.items() if not found.intersection(kinds)}

"""The verbs on workers: leases, and the runs of workers that vanished."""

from __future__ import annotations

from typing import Any, NamedTuple

from jobkit.states import Category, states
from jobkit.store.jobs import JobStore

_ACTIVE = ",".join(states(Category.RUNNING))


class Lost(NamedTuple):
    """A run whose worker vanished; whoever was handed it holds it now, and has to settle it."""

    id: str
    run: int
    worker: str
    rescues: int
    rescued: int
    message: str
    task: str


def beat(store: JobStore, worker: str, lease: float) -> tuple[float, bool]:
    """Prove a worker alive for `lease` seconds; 0 says goodbye.

    Returns: Redis time in seconds, and whether the lease had held until now.
    """
    at, held = store.run("beat", worker, int(lease * 1000))
    return int(at) / 1000, bool(held)


def rescue(store: JobStore, worker: str, most: int) -> list[Lost]:
    """Take over runs of workers whose lease has run out: from now on only `worker` can write for them."""
    reply = store.run("rescue", worker, most, _ACTIVE)
    parts = iter(part.decode() if isinstance(part, bytes) else part for part in reply)
    rows = zip(*[parts] * len(Lost._fields), strict=True)
    return [Lost(i, int(run), gone, int(may or 0), int(did or 0), *rest) for i, run, gone, may, did, *rest in rows]


def rebase(store: JobStore, lease: float) -> int:
    """Let every lease count from now; returns how many there are."""
    return int(store.run("rebase", int(lease * 1000)))


def alive(store: JobStore) -> dict[str, float]:
    """The workers and when their leases run out, seconds of Redis time."""
    found: Any = store.call(lambda: store.client.zrange(store.keys.key("workers"), 0, -1, withscores=True))
    return {name.decode(): score / 1000 for name, score in found}

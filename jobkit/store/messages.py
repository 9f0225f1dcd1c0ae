"""The verbs on messages that may be lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from jobkit.states import Category, State, states
from jobkit.store.jobs import JobStore

#: The states of a run that needs its message: to start, or to be removed.
READY = states(Category.WAITING_TO_RUN)


class Waiting(NamedTuple):
    """A job whose message is out, its queue, and whether one that was queued after it has started."""

    id: str
    queue: str
    overtaken: bool


def scan(store: JobStore, state: State, rank: int, most: int, age: float) -> tuple[int, list[Waiting]]:
    """Jobs in one of the states that need a message, oldest first, at least `age` seconds in it; and the rank to go on
    from, 0 at the end."""
    following, *rest = store.run("scan", state.value, rank, most, int(age * 1000))
    parts = iter(rest)
    rows = zip(parts, parts, parts, strict=True)
    return int(following), [Waiting(job_id.decode(), queue.decode(), bool(over)) for job_id, queue, over in rows]


def accuse(store: JobStore, job_ids: Sequence[str]) -> int:
    """These messages may be lost; returns how many were not suspected before."""
    return int(store.run("accuse", *job_ids)) if job_ids else 0


def suspects(store: JobStore, most: int) -> list[str]:
    """The jobs whose messages may be lost, longest first."""
    found: Any = store.call(lambda: store.client.zrange(store.keys.key("suspects"), 0, most - 1))
    return [job_id.decode() for job_id in found]


def acquit(store: JobStore, job_ids: Sequence[str]) -> None:
    """A live worker has these messages."""
    if job_ids:
        store.call(lambda: store.client.zrem(store.keys.key("suspects"), *job_ids))


def convict(store: JobStore, trial: float, most: int) -> list[str]:
    """Nobody has said in `trial` seconds that he has these messages: they will be published again; their jobs."""
    return [job_id.decode() for job_id in store.run("convict", ",".join(READY), int(trial * 1000), most)]

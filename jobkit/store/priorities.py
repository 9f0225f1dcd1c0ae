"""The verbs on priorities: what runs are expected to take, and raising who has waited long."""

from __future__ import annotations

from typing import Any

from jobkit.states import State
from jobkit.store.jobs import JobStore

#: Ended jobs one round learns from, and waiting ones it looks at.
BATCH = 200


def learn(store: JobStore) -> int:
    """Learn from the jobs that finished since the last time; returns from how many."""
    return int(store.run("learn", State.FINISHED.value, BATCH))


def expected(store: JobStore) -> dict[str, float]:
    """Seconds a run of each task takes, as learned."""
    found: Any = store.call(lambda: store.client.hgetall(store.keys.key("runtimes")))
    return {task.decode(): float(ms) / 1000 for task, ms in found.items() if task}


def waiting(store: JobStore, age: float) -> list[tuple[str, int, int, str]]:
    """Queued jobs of a level that have waited `age` seconds, oldest first: id, run, level, message."""
    parts = iter(store.run("aged", State.QUEUED.value, int(age * 1000), BATCH))
    rows = zip(parts, parts, parts, parts, strict=True)
    return [(job_id.decode(), int(run), int(level), message.decode()) for job_id, run, level, message in rows]


def lift(store: JobStore, job_id: str, run: int, level: tuple[int, int], priority: int, message: str) -> bool:
    """Raise a queued job from one level to another: its message is owed once more; False if it has gone on."""
    old, new = level
    reply = store.run("raise", job_id, run, State.QUEUED.value, old, new, priority, message)
    return bool(reply[0] == b"ok")

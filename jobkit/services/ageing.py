"""Priorities that learn, and that starve nobody: who has waited long goes before who came later."""

from __future__ import annotations

import time
from collections.abc import Callable

from jobkit.priorities import LEVELS
from jobkit.store import JobStore, priorities

#: Seconds between two rounds of one worker.
PAUSE = 1.0


class Ageing:
    """One worker's part in it.

    Parameters: `after`, seconds at one level until a job is raised to the next; `rewrite`, which gives a kept message
    another level: its text, and what the broker calls it.
    """

    def __init__(self, store: JobStore, after: float, rewrite: Callable[[str, int], tuple[str, int]]) -> None:
        self._store, self._after, self._rewrite = store, after, rewrite
        self._next = 0.0

    def run_once(self) -> int:
        """One round, if it is time for one: returns how many jobs were raised."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + PAUSE
        priorities.learn(self._store)
        return sum(self._lift(*job) for job in priorities.waiting(self._store, self._after))

    def _lift(self, job_id: str, run: int, level: int, message: str) -> bool:
        new = max(one for one in LEVELS.values() if one < level)
        text, priority = self._rewrite(message, new)
        return priorities.lift(self._store, job_id, run, (level, new), priority, text)

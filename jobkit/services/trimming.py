"""Drop executions that are older than they are kept, also where no new ones come, and definitions made for a while."""

from __future__ import annotations

import random
import time

from jobkit.store import JobStore, history

#: Seconds between two looks of one worker.
PAUSE = 600.0


class Trimming:
    """One worker's part in it."""

    def __init__(self, store: JobStore) -> None:
        self._store, self._next = store, 0.0

    def run_once(self) -> int:
        """One round: returns how many went."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + PAUSE * random.uniform(0.5, 1.5)  # noqa: S311  jitter, not a secret
        return history.trim(self._store)

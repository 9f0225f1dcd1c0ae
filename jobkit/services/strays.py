"""Find runs that a worker holds in Redis and that nothing in it runs any more: their end could not be recorded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

from jobkit.store import JobStore, workers

log = logging.getLogger("jobkit")


class Strays:
    """One worker's runs.

    Parameters: `busy`, the ids of what this worker runs or has reserved; `every`, seconds between two looks: a run is
    astray when two looks in a row see nothing of it; `settle` is handed each.
    """

    def __init__(
        self,
        store: JobStore,
        worker: str,
        busy: Callable[[], Collection[str]],
        every: float,
        settle: Callable[[workers.Lost], None],
    ) -> None:
        self._store, self._worker, self._busy, self._every, self._settle = store, worker, busy, every, settle
        self._suspects: set[str] = set()
        self._next = time.monotonic() + every

    def run_once(self) -> int:
        """One look, if it is time for one; returns how many runs were settled."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + self._every
        held = workers.held(self._store, self._worker)
        unseen = set(held).difference(self._busy())
        astray = unseen & self._suspects
        self._suspects = unseen
        for job_id in sorted(astray):
            self._give_up(job_id)
        return len(astray)

    def _give_up(self, job_id: str) -> None:
        run = workers.own(self._store, self._worker, job_id)
        if job_id in self._busy():
            return None  # it has come back, and begun, since we looked
        if run is None:
            return workers.disown(self._store, self._worker, job_id)
        log.error("%s[%s] is held and not run: its end could not be recorded", run.task, run.id)
        return self._settle(run)

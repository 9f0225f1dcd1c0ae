"""Find jobs, queued or to be removed, whose message is gone, by evidence and not by age; have it published again.

A job is suspected when one that was queued after it on the same queue and priority has started, or when its queue is
empty.  Then every worker that has its message reserved says so.  If nobody does, it was never published, or the broker
lost it, or a worker died with it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Container

from jobkit.states import State
from jobkit.store import JobStore, messages

log = logging.getLogger("jobkit")

#: Jobs one round looks at, and seconds between two rounds of one worker, at most.
BATCH = 200
PAUSE = 2.0
#: Seconds a job is queued before it is looked for at all, at most.
AGE = 3.0


class Search:
    """One worker's part in it.

    Parameters: `reserved`, the ids this worker has a message of; `size`, how many messages a queue holds; `trial`,
    seconds in which every live worker looks at the suspects at least once.
    """

    def __init__(self, store: JobStore, reserved: Container[str], size: Callable[[str], int], trial: float) -> None:
        self._store, self._reserved, self._size, self._trial = store, reserved, size, trial
        self._pause, self._age = min(PAUSE, trial), min(AGE, trial)
        self._ranks = dict.fromkeys(messages.READY, 0)
        self._next = 0.0

    def run_once(self) -> int:
        """One round: returns how many messages are to be published again."""
        suspected = messages.suspects(self._store, BATCH)
        messages.acquit(self._store, [job_id for job_id in suspected if job_id in self._reserved])
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + self._pause * random.uniform(0.5, 1.5)  # noqa: S311  jitter, not a secret
        lost = messages.convict(self._store, self._trial, BATCH)
        for job_id in lost:
            log.warning("the message of job %s is lost: it is published again", job_id)
        for state in messages.READY:
            self._accuse(state)
        return len(lost)

    def _accuse(self, state: State) -> None:
        self._ranks[state], waiting = messages.scan(self._store, state, self._ranks[state], BATCH, self._age)
        empty = {queue: self._size(queue) == 0 for queue in {job.queue for job in waiting if not job.overtaken}}
        gone = [job.id for job in waiting if job.overtaken or empty.get(job.queue)]
        messages.accuse(self._store, [job_id for job_id in gone if job_id not in self._reserved])

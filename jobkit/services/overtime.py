"""Tell jobs that have run longer than they may to end."""

from __future__ import annotations

from jobkit.errors import IllegalTransition, JobNotFound
from jobkit.services.leases import Heartbeat
from jobkit.store import workers

#: Jobs one round tells at most.
BATCH = 100
#: Seconds until somebody else is told of the same job.
LEASE = 30.0


def run_once(heart: Heartbeat, by: str) -> int:
    """One round: returns how many jobs were told."""
    store, until, told = heart.store, heart.until, 0  # before it is asked: the next beat may come in between
    if heart.is_rebasing:
        return 0
    for job_id in workers.overdue(store, BATCH, LEASE, until):
        try:
            store.ask(job_id, "time_over", by, "its maximum run time is over")
            told += 1
        except (IllegalTransition, JobNotFound):
            workers.in_time(store, job_id)  # it has ended, or is ending, by itself
    return told

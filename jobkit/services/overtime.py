"""Tell jobs that have run longer than they may to end."""

from __future__ import annotations

from jobkit.errors import IllegalTransition, JobNotFound
from jobkit.store import JobStore, workers

#: Jobs one round tells at most.
BATCH = 100
#: Seconds until somebody else is told of the same job.
LEASE = 30.0


def run_once(store: JobStore, by: str) -> int:
    """One round: returns how many jobs were told."""
    told = 0
    for job_id in workers.overdue(store, BATCH, LEASE):
        try:
            store.ask(job_id, "time_over", by, "its maximum run time is over")
            told += 1
        except (IllegalTransition, JobNotFound):
            workers.in_time(store, job_id)  # it has ended, or is ending, by itself
    return told

"""A worker that goes down tells its jobs, so that they can leave a checkpoint and go on elsewhere."""

from __future__ import annotations

from jobkit.errors import IllegalTransition, JobNotFound
from jobkit.store import JobStore, workers

#: Seconds of grace an order of this kind carries; a warm shutdown waits as long as it takes, and a cold one for nobody.
GRACE = 0.0


def run_once(store: JobStore, worker: str, by: str) -> int:
    """Tell every job this worker holds; returns how many were told.

    A job that does not look goes on to its end, as in every warm shutdown.
    """
    told = 0
    for job_id in workers.held(store, worker):
        try:
            store.ask(job_id, "request_shutdown", by, "its worker goes down", grace=GRACE)
            told += 1
        except (IllegalTransition, JobNotFound):
            continue  # it has ended, or was told to end for another reason
    return told

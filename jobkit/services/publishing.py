"""Queue what is due and publish every message that is owed."""

from __future__ import annotations

from collections.abc import Callable

from jobkit.store import JobStore

#: Messages one round publishes at most.
BATCH = 200


def run_once(store: JobStore, publish: Callable[[str, int], None], by: str) -> int:
    """One round: returns how many messages were published.

    Parameters: `publish`, given a kept message and the run it is for.  A message is owed until it is
    published; if this process dies in between, another round publishes it again, and the claim drops the second
    delivery.
    """
    _, owed = store.take(by, BATCH)
    sent: list[str] = []
    failed: Exception | None = None
    for job_id, run, message in owed:
        try:
            publish(message, run)
            sent.append(job_id)
        except Exception as exc:  # the others must not wait behind it; it is owed still, and tried again
            failed = exc
    store.published(sent)
    if failed:
        raise failed
    return len(sent)

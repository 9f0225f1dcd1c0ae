"""What is known of a job whose record is not there: it has gone, or there never was one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from jobkit.errors import JobExpired, JobNotFound, JobUnknown
from jobkit.states import Outcome, State

#: Milliseconds the clocks of clients, which make ids, may be off.
SKEW = 60_000

#: Why a record went, by the word the scripts use for it, and how to have the next one longer.
REASONS = {
    "age": "its time was over (jobkit_retention, or keep= when it is submitted, keep them longer)",
    "cap": "more ended jobs were held than there is room for (jobkit_retention_jobs)",
    "bytes": "the ended jobs had more bytes than there is room for (jobkit_retention_bytes)",
    "memory": "Redis was short of memory (maxmemory)",
    "deleted": "it was deleted",
    "unknown": "too long ago to know more (jobkit_gone_jobs and jobkit_gone_retention say how long that is)",
}


def absence(job_id: str, namespace: str, reply: Sequence[Any]) -> JobNotFound:
    """`JobExpired` or `JobUnknown`, from what the script ``read`` answered.

    An id of which nothing is known can still be told from one that never was: where it is a UUID of version 7, the time
    it was made is in it.  If that lies between the submission of the first job that went and the moment until which
    those gone are no longer known, it is taken for one of them; all other ids were never submitted.
    """
    if reply[0] == b"gone":
        return _expired(job_id, namespace, reply[1].decode("utf-8", "replace"))
    made = made_at(job_id)
    if reply[0] == b"missing" and reply[2] and made is not None:
        first, last = (float(moment) for moment in reply[1:])
        if first - SKEW <= made <= last + SKEW:
            return _expired(job_id, namespace, "\t\t\t\tunknown\t")
    return JobUnknown(job_id=job_id, namespace=namespace)


def made_at(job_id: str) -> int | None:
    """When an id was made, ms since 1970; None if it does not say."""
    try:
        value = uuid.UUID(job_id)
    except ValueError:
        return None
    return value.int >> 80 if value.version == 7 else None


def _expired(job_id: str, namespace: str, text: str) -> JobExpired:
    state, outcome, ended, gone, why, message = text.split("\t", 5)
    ended_at, gone_at = (_moment(ms) for ms in (ended, gone))
    story = [f"it ended {state}"] if state else []
    story += [f"at {ended_at:%Y-%m-%d %H:%M:%S} UTC"] if ended_at else []
    said = f" ({message})" if message else ""
    return JobExpired(
        job_id=job_id,
        namespace=namespace,
        state=State(state) if state in State.__members__ else None,
        outcome=Outcome(outcome) if outcome in Outcome.__members__ else None,
        message=message,
        ended_at=ended_at,
        gone_at=gone_at,
        why=why,
        story=f"{' '.join(story) or 'it was there'}{said}; its record went: {REASONS.get(why, why)}",
    )


def _moment(ms: str) -> datetime | None:
    return datetime.fromtimestamp(float(ms) / 1000, timezone.utc) if ms else None

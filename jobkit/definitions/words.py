"""The words a definition is described with, and those it answers with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Enabled(str, Enum):
    """What may make a definition run [TFS]."""

    ENABLED = "ENABLED"
    SCHEDULES_DISABLED = "SCHEDULES_DISABLED"
    FULLY_DISABLED = "FULLY_DISABLED"


class Overlap(str, Enum):
    """What becomes of a slot whose definition is still running.

    SKIP: nothing.  BUFFER: it runs once more right after, however many slots came meanwhile.  CANCEL: the run is told
    to end, and the next begins when it has.  ALLOW: runs go on beside each other, each a job of its own.
    """

    SKIP = "SKIP"
    BUFFER = "BUFFER"
    CANCEL = "CANCEL"
    ALLOW = "ALLOW"


class Misfire(str, Enum):
    """What becomes of slots that nobody could fire in time: none, the last, or all, one after the other."""

    SKIP = "SKIP"
    ONCE = "ONCE"
    ALL = "ALL"


class Queued(str, Enum):
    """What became of the wish that a definition runs.

    QUEUED: a run begins.  JOINED: the run it has before it is as soon.  REQUEUED: it runs, and once more right after.
    ADVANCED: the run it has before it begins sooner now.  REPLACED: that run has the newer arguments now.
    REFUSED: see `Answer.reason`.
    """

    QUEUED = "queued"
    JOINED = "joined"
    REQUEUED = "requeued"
    ADVANCED = "advanced"
    REPLACED = "replaced"
    REFUSED = "refused"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to the wish that something runs: what became of it, the job, and why it was refused."""

    verdict: Queued
    job_id: str
    reason: str = ""

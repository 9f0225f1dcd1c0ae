"""Values as text: for people (local times, short durations) and for pipes (ISO 8601 in UTC, seconds)."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from typing import Any

from jobkit.model import Failure, Job, Progress
from jobkit.states import Category, State

#: The colour of each state, by name as click and rich both know it.
COLOURS = {
    Category.WAITING_TO_START: "yellow",
    Category.WAITING_TO_RUN: "yellow",
    Category.RUNNING: "cyan",
    Category.WAITING_FOR_CHILDREN: "cyan",
    Category.ROLLING_BACK: "magenta",
    Category.ENDED: "red",
    Category.RESTARTED: "magenta",
}
_CALM = {State.FINISHED: "green", State.REMOVED: "blue", State.REPLACED: "blue", State.CANCELLED: "blue"}


_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Characters people see of a UUID.
SHORT_ID = 8


class JobId(str):
    """An id; of a UUID people are shown the end, which is all the commands ask for: many begin alike."""

    @property
    def short(self) -> str:
        """What people see in a table."""
        return self[-SHORT_ID:] if _UUID.fullmatch(self) else clean(self)


class Seconds(float):
    """A length of time."""


class Age(Seconds):
    """A length of time that need not be told exactly."""


def colour(state: State) -> str:
    """The colour a state is printed in: red is what somebody has to look at."""
    return _CALM.get(state) or COLOURS[state.category]


def clean(text: str) -> str:
    """`text` on one line and without control characters: what a job says must not steer a terminal."""
    spaced = "".join(" " if char in "\t\r\n" else char for char in text)
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in spaced)


def duration(seconds: float, units: int = 2) -> str:
    """A length of time in the one or two units that matter: ``0.42 s``, ``12 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 0.005:
        return "0 s"
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 0.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, rest, rest_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            small = whole % size // rest
            return f"{whole // size} {name}" + (f" {small} {rest_name}" if small and units > 1 else "")
    return f"{whole} s"


def age(since: datetime, now: datetime | None = None) -> Seconds:
    """Seconds since `since`, never below zero: the clocks of two machines differ a little."""
    return Seconds(max(0.0, ((now or datetime.now(timezone.utc)) - since).total_seconds()))


def until(at: datetime) -> Seconds:
    """Seconds from now to `at`, zero when that has passed."""
    return age(datetime.now(timezone.utc), at)


def moment(at: datetime) -> str:
    """A time of day in the local zone, with its date unless that is today."""
    local = at.astimezone()
    return f"{local:%H:%M:%S}" if local.date() == date.today() else f"{local:%Y-%m-%d %H:%M:%S}"


def iso(at: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond: ``2026-11-22T08:00:00.000Z``."""
    return at.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ago(at: datetime) -> str:
    """A time as seen from now: ``12 s ago``, ``in 3 min``."""
    seconds = until(at)
    return f"in {duration(seconds)}" if seconds else f"{duration(age(at))} ago"


def amount(progress: Progress, form: str = ",.10g") -> str:
    """How far a job has come: ``1,032/1,690``, or ``1,032`` where the total is not known."""
    total = "" if progress.total is None else f"/{progress.total:{form}}"
    return f"{progress.done:{form}}{total}"


def said(job: Job) -> str:
    """The one line worth reading about a job now: what it waits for, how it goes, or how it went."""
    if job.failure and job.state is not State.FINISHED:
        return blame(job.failure)
    if job.state is State.WAITING_FOR_START and job.start_at:
        return f"starts {ago(job.start_at)}"
    if job.state is State.WAITING_FOR_PREDECESSOR:
        return f"after {JobId(job.after_id).short}"
    if job.blocked_by:
        return f"{job.blocked_by} is blocked"
    running = job.progress.message if job.is_live and job.progress else ""
    return running or job.message


def blame(failure: Failure) -> str:
    """The last line of a traceback."""
    return f"{failure.type}: {failure.message}" if failure.message else failure.type


def for_people(value: Any) -> str:
    """A value as a cell of a table."""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Seconds):
        return duration(value, units=1 if isinstance(value, Age) else 2)
    if isinstance(value, JobId):
        return value.short
    if isinstance(value, Progress):
        return amount(value) if value.fraction is None else f"{value.fraction:.0%}"
    return _common(value)


def for_pipes(value: Any) -> str:
    """A value as a field of a tab separated line."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Seconds):
        return f"{value:.3f}"
    return amount(value, ".15g") if isinstance(value, Progress) else _common(value)


def _common(value: Any) -> str:
    if isinstance(value, tuple):
        return clean(" ".join(str(item) for item in value))
    return "" if value is None else clean(str(value))

"""How the pages put values into words: durations, ages, times, tones of colour, the one line about a job."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any

from jobkit.model import Job
from jobkit.states import ABOUT, Category, Outcome, State

#: What stands for a value that is not there.
NOTHING = "\N{EN DASH}"

#: Longer values are cut, and say so: a page is for reading.
LONGEST = 20_000

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def span(length: timedelta | None) -> str:
    """A duration in at most two units: ``12 ms``, ``3.4 s``, ``4 m 05 s``; a dash where there is none."""
    if length is None:
        return NOTHING
    seconds = max(0.0, length.total_seconds())
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return _units(round(seconds))


def _units(seconds: int) -> str:
    for (unit, size), (smaller, part) in pairwise(_UNITS):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // part:02d} {smaller}"
    return f"{seconds} s"


def number(value: float) -> str:
    """A count or an amount: whole numbers exactly, others with two decimals."""
    return f"{int(value):,}" if isinstance(value, int) or value.is_integer() else f"{value:,.2f}"


def ago(at: datetime, now: datetime) -> str:
    """How long since, or until, a moment, in one unit: ``just now``, ``12 s ago``, ``in 5 m``."""
    seconds = round((now - at).total_seconds())
    if abs(seconds) < 2:
        return "just now"
    unit, size = next((unit, size) for unit, size in _UNITS if abs(seconds) >= size)
    return f"{seconds // size} {unit} ago" if seconds > 0 else f"in {-seconds // size} {unit}"


def clock(at: datetime, zone: tzinfo) -> str:
    """A moment to the millisecond, in the application's time zone."""
    local = at.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d} {local:%Z}"


def short(job_id: str) -> str:
    """The beginning of an id, enough to tell it from its neighbours; the command line takes it for the whole."""
    if len(job_id) == 36 and job_id.count("-") == 4:
        return job_id[:18] if job_id[14] == "7" else job_id[:8]  # version 7 begins with the time
    return job_id if len(job_id) <= 24 else f"{job_id[:23]}…"


def tone(state: State, outcome: Outcome | None = None) -> str:
    """The colour of a state: its category's, and for an end the one Celery's view of it gives."""
    if outcome is Outcome.PARTIALLY_SUCCEEDED:
        return "partly"
    if state.category is Category.ENDED:
        return {"SUCCESS": "good", "FAILURE": "bad", "REVOKED": "stopped"}[ABOUT[state].celery]
    if state.category is Category.RUNNING and state is not State.RUNNING:
        return "again"  # it was asked to end
    return _TONES[state.category]


_TONES = {
    Category.WAITING_TO_START: "waiting",
    Category.WAITING_TO_RUN: "queued",
    Category.RUNNING: "running",
    Category.WAITING_FOR_CHILDREN: "running",
    Category.ROLLING_BACK: "again",
    Category.RESTARTED: "again",
}


def waited(job: Job, now: datetime) -> timedelta | None:
    """How long the job could have run and did not; None while its start time lies ahead."""
    due = max(job.submitted_at, job.start_at or job.submitted_at)
    until = job.started_at or job.ended_at or now
    return until - due if until >= due else None


def ran(job: Job, now: datetime) -> timedelta | None:
    """How long its latest run has run; None before it started."""
    return (job.ended_at or now) - job.started_at if job.started_at else None


def headline(job: Job, now: datetime) -> str:
    """The one line a list has for a job: what it says of itself, why it failed, or what it waits for."""
    said = f"{job.failure.type}: {job.failure.message}" if job.failure else job.message
    return " · ".join(filter(None, (_doing(job, now), said))) if job.is_live else said


def _doing(job: Job, now: datetime) -> str:
    if job.state.category is Category.WAITING_TO_START and job.start_at and job.start_at > now:
        return f"starts {ago(job.start_at, now)}"
    if job.state is State.WAITING_FOR_PREDECESSOR:
        return f"after {short(job.after_id)}"
    return job.progress.message if job.progress else ""


def pretty(value: Any) -> str:
    """A value for reading: JSON indented where it is a container, Python's own form otherwise."""
    return cut(_json(value) if isinstance(value, dict | list) else repr(value))


def _json(value: Any) -> str:
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, default=repr)
    except (TypeError, ValueError):  # keys that are no strings, or a circle
        return repr(value)


def cut(text: str, longest: int = LONGEST) -> str:
    """The beginning of a text, and how much is missing; what cannot be encoded (half a surrogate) is spelled out."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text) - longest:,} more characters)"

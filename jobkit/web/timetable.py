"""How the pages put definitions into words: their schedules, and the tone of how they stand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from jobkit.schedules import Schedule
from jobkit.states import FiveState
from jobkit.web.text import span

#: The colour of each of the five states.
TONES = {
    FiveState.IN_PROGRESS: "running",
    FiveState.QUEUED: "queued",
    FiveState.SCHEDULED: "good",
    FiveState.HOST_BLOCKED: "again",
    FiveState.NOT_SCHEDULED: "stopped",
}
#: What each of them means.
MEANINGS = {
    FiveState.IN_PROGRESS: "a run of it is at work",
    FiveState.QUEUED: "a run of it waits for a worker, a lock or another job",
    FiveState.SCHEDULED: "its next run has a time",
    FiveState.HOST_BLOCKED: "what it works on is away",
    FiveState.NOT_SCHEDULED: "nothing of it is planned",
}


def told(schedule: Schedule) -> str:
    """A schedule in one line: ``0 3 * * * · Europe/Berlin``, ``every 1 m 30 s``."""
    plain = schedule.to_json()
    around = [str(plain["timezone"])] if "timezone" in plain and schedule.rule.kind != "every" else []
    around += [f"{name} {plain[name][:16]}" for name in ("start", "end") if name in plain]
    around += [f"up to {span(timedelta(seconds=schedule.jitter))} late"] if schedule.jitter else []
    around += [f"not on {', '.join(schedule.exclude)}"] if schedule.exclude else []
    return " · ".join([_rule(schedule.rule.kind, plain[schedule.rule.kind]), *around])


def _rule(kind: str, value: Any) -> str:
    if kind == "every":
        return f"every {span(timedelta(seconds=value))}"
    if kind == "times":
        return f"{len(value)} times, the first {value[0][:16]}" if value else "no times"
    if kind == "solar":
        return "{} at {}, {}".format(*value)
    return " ".join(str(value).split())

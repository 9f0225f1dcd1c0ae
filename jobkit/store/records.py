"""How a record in Redis becomes a `Job`: the one reader of the hash's fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from jobkit.errors import BadRecord
from jobkit.locks import from_text
from jobkit.model import Failure, Job, LogLine, Progress, Run, Transition
from jobkit.states import ABOUT, Outcome, State

#: The fields a list of jobs needs; the rest (message, path, log, checkpoint) can be long.
BRIEF = (
    "state", "run", "task", "submitted", "since", "owner", "tags", "queue", "args", "kwargs", "start", "started",
    "ended", "expires", "worker", "pid", "retries", "root", "parent", "after", "outcome", "note", "failure", "progress",
    "source",
    "locks", "host", "blocked", "failed", "uncompensated",
)  # fmt: skip
#: What only one job's own page needs.
FULL = (*BRIEF, "meta", "checkpoint")
#: Fields that are the store's own affair.
INTERNAL = frozenset((
    *FULL, "seq", "path", "token", "message", "next", "log", "logged", "followed", "priority",
    "policy", "grace", "restarts", "hook", "bonds", "locked", "bytes", "retain", "keep", "wished",
    "up", "upon", "alive", "busy", "spawned", "ending", "endmeta", "deferred", "below", "told", "then", "level",
))  # fmt: skip


#: What reading a broken value can raise; a time may be too large for the machine's own.
_UNREADABLE = (ValueError, TypeError, KeyError, OverflowError, OSError)


def when(milliseconds: str | None) -> datetime | None:
    """Redis time as an aware datetime in UTC."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, timezone.utc) if milliseconds else None


def texts(values: Mapping[bytes | str, bytes | str | None]) -> dict[str, str]:
    """A hash as it came from Redis, as text; a field that is not set is left out."""
    return {_text(name): _text(value) for name, value in values.items() if value is not None}


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class _Reader:
    """Typed access to the fields of one record; what cannot be read is named."""

    def __init__(self, job_id: str, fields: Mapping[str, str]) -> None:
        self.job_id, self.fields = job_id, fields

    def read(self, field: str, convert: Any, default: Any = None) -> Any:
        value = self.fields.get(field)
        if not value:
            return default
        try:
            return convert(value)
        except _UNREADABLE as exc:
            raise BadRecord(job_id=self.job_id, field=field, value=value[:100]) from exc


def job(job_id: str, fields: Mapping[str, str], result: Any = None, status: str = "") -> Job:
    """Build a `Job`.

    Parameters: its `fields` as text; `result` and `status`, what Celery's side of the record holds.
    Raises: `BadRecord`, naming the field.  A field this version does not know is kept in `Job.extra`.
    """
    read = _Reader(job_id, fields).read
    state: State = read("state", State)
    if state is None:
        raise BadRecord(job_id=job_id, field="state", value="")
    return Job(
        id=job_id,
        task=fields.get("task", ""),
        state=state,
        run=read("run", int, 0),
        submitted_at=read("submitted", when, _EPOCH),
        state_since=read("since", when, _EPOCH),
        owner=fields.get("owner", ""),
        tags=tuple(read("tags", _lines, ())),
        queue=fields.get("queue", ""),
        args=fields.get("args", ""),
        kwargs=fields.get("kwargs", ""),
        start_at=read("start", when),
        started_at=read("started", when),
        ended_at=read("ended", when),
        expires_at=read("expires", when),
        worker=fields.get("worker", "").partition("|")[0],
        pid=read("pid", int),
        retries=read("retries", int, 0),
        root_id=fields.get("root", ""),
        parent_id=fields.get("parent", ""),
        after_id=fields.get("after", ""),
        locks=read("locks", from_text, ()),
        host=fields.get("host", ""),
        blocked_by=fields.get("blocked", ""),
        failed_child=fields.get("failed", ""),
        failed_compensations=tuple(read("uncompensated", _lines, ())),
        outcome=read("outcome", Outcome),
        message=fields.get("note", ""),
        failure=read("failure", lambda text: Failure(*json.loads(text))),
        result=result,
        progress=read("progress", lambda text: Progress(*json.loads(text))),
        celery_status=status or ABOUT[state].celery,
        has_checkpoint=bool(fields.get("checkpoint")),
        source=fields.get("source", ""),
        extra={name: value for name, value in fields.items() if name not in INTERNAL},
    )


_EPOCH = datetime.fromtimestamp(0, timezone.utc)


def transition(job_id: str, line: str, source: str | None) -> Transition:
    """One line of the path: seq, run, target, at, operation, by, reason.  Raises: `BadRecord`."""
    try:
        seq, run, target, at, _op, by, reason = line.split("\t")
        left = State(source) if source else None
        return Transition(int(seq), int(run), left, State(target), when(at) or _EPOCH, by, reason)
    except _UNREADABLE as exc:
        raise BadRecord(job_id=job_id, field="path", value=line[:100]) from exc


def path(job_id: str, text: str) -> tuple[Transition, ...]:
    """The whole path, oldest first; where the oldest part was dropped, `seq` does not begin at 1."""
    steps: list[Transition] = []
    for line in _lines(text):
        last = steps[-1] if steps else None
        step = transition(job_id, line, last.target if last else None)
        if last and step.run != last.run:
            step = transition(job_id, line, None)
        steps.append(step)
    return tuple(steps)


def event(job_id: str, text: str) -> Transition:
    """What is announced of a transition: the state it left, and its line."""
    source, _, line = text.partition("\t")
    return transition(job_id, line, source)


def runs(steps: tuple[Transition, ...]) -> tuple[Run, ...]:
    """The path, cut into runs."""
    numbers = dict.fromkeys(step.run for step in steps)
    return tuple(Run(number, tuple(step for step in steps if step.run == number)) for number in numbers)


def log(job_id: str, text: str) -> tuple[LogLine, ...]:
    """The kept log lines, oldest first.  Raises: `BadRecord`."""
    return tuple(_log_line(job_id, line) for line in _lines(text))


def _log_line(job_id: str, line: str) -> LogLine:
    try:
        at, run, level, message = line.split("\t", 3)
        return LogLine(when(at) or _EPOCH, level, message, int(run))
    except _UNREADABLE as exc:
        raise BadRecord(job_id=job_id, field="log", value=line[:100]) from exc


def _lines(text: str) -> list[str]:
    # Not str.splitlines(): a user's text may hold any of the other line ends it knows.
    return [line for line in text.split("\n") if line]

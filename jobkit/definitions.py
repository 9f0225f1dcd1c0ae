"""Definitions: stored, named recipes for jobs, and what may be said of them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from jobkit.errors import InvalidOption, nearest
from jobkit.model import to_plain
from jobkit.schedules import Schedule, next_slots, schedule
from jobkit.states import FiveState

#: What an id may be.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")


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


@dataclass(frozen=True, slots=True)
class Status:
    """What became of a definition so far; `late` in `fires` is seconds after the slot's own time."""

    state: FiveState
    next_at: datetime | None = None
    paused: str = ""
    fires: tuple[tuple[datetime, float], ...] = ()
    fired: int = 0
    skipped: int = 0
    missed: int = 0
    backups: int = 0
    failures: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    updated_by: str = ""
    log_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """A stored recipe: what to run, with what, and when.

    * `id`: well known, for people and programs; `task`: the name of a Celery task; `name`: for people.
    * `data`: keyword arguments, `args`: positional ones, as JSON; a run has what they are when it is claimed.
    * `schedules`: what `jobkit.schedule` makes; `backup_every`: seconds without a run after which there is one.
    * `overlap`, `misfire`; `grace`: seconds a slot may be late and still fires; `catch_up`: seconds after which a
      missed slot is dropped whatever `misfire` says; `pause_after`: so many failures in a row pause it.
    * `host`, `owner`; `priority`, `queue` and `options` go to Celery as they are; `log_level` of its jobs' log lines.
    * `version` grows with every change; `status`, where it was read, tells how it goes.  To change one:
      ``jobs.definitions.update(replace(definition, priority=3))``.
    """

    id: str
    task: str
    name: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    args: tuple[Any, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    backup_every: float | None = None
    enabled: Enabled = Enabled.ENABLED
    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = Misfire.ONCE
    grace: float = 60.0
    catch_up: float = 86_400.0
    pause_after: int | None = None
    host: str = ""
    owner: str = ""
    priority: int | None = None
    queue: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    log_level: str = "INFO"
    version: int = 0
    status: Status | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))

    @property
    def job_id(self) -> str:
        """The id of its job; one that runs beside others (`Overlap.ALLOW`, `backfill`) has more behind it."""
        return f"@{self.id}"

    @property
    def is_scheduled(self) -> bool:
        """Whether its schedules fire."""
        return self.enabled is Enabled.ENABLED and not (self.status and self.status.paused)

    def next_fire_times(self, after: datetime, count: int = 10) -> list[datetime]:
        """Its next slots after a moment, whether it is enabled or not."""
        return next_slots(self.schedules, after, count)

    def to_json(self) -> dict[str, Any]:
        """Plain types only; `Definitions.create(**…)` takes them again, but for `version` and `status`."""
        plain = {item.name: to_plain(getattr(self, item.name)) for item in fields(self)}
        return plain | {"schedules": [one.to_json() for one in self.schedules]}


def _id(name: str, value: Any) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        allowed = "letters, digits, '_', '.', ':' and '-', at most 128, beginning with a letter or digit"
        raise InvalidOption(option=f"definition {name}", value=value, allowed=allowed)
    return value


def _word(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise InvalidOption(option=f"definition {name}", value=value, allowed="must be a printable text of at most 200")
    return value


def _task(name: str, value: Any) -> str:
    found = _word(name, getattr(value, "name", value))
    if not found:
        raise InvalidOption(option="definition task", value=value, allowed="must be a task or its name")
    return found


def _json(kind: type[Any]) -> Any:
    def check(name: str, value: Any) -> Any:
        try:
            plain = json.loads(json.dumps(list(value) if kind is tuple else dict(value), allow_nan=False))
        except (TypeError, ValueError) as exc:
            raise InvalidOption(option=f"definition {name}", value=value, allowed=f"must be JSON: {exc}") from exc
        return kind(plain)

    return check


def _one_of(kind: type[Enum]) -> Any:
    def check(name: str, value: Any) -> Enum:
        text = str(getattr(value, "value", value)).upper()
        if text not in kind.__members__:
            allowed = f"must be one of {', '.join(kind.__members__)}, {nearest(text, kind.__members__)}"
            raise InvalidOption(option=f"definition {name}", value=value, allowed=allowed)
        return kind[text]

    return check


def _number(least: float, *, empty: bool = False, whole: bool = False) -> Any:
    def check(name: str, value: Any) -> Any:
        if value is None and empty:
            return None
        if isinstance(value, timedelta):
            value = value.total_seconds()
        kinds = int if whole else int | float
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < 1e10:
            raise InvalidOption(
                option=f"definition {name}", value=value, allowed=f"must be a number, {least:g} or more"
            )
        return value

    return check


def _level(name: str, value: Any) -> str:
    text = str(value).upper()
    if not isinstance(logging.getLevelName(text), int):
        raise InvalidOption(option=name, value=value, allowed="must be DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return text


def _schedules(name: str, value: Any) -> tuple[Schedule, ...]:
    if value is None:
        return ()
    many = isinstance(value, list | tuple) and not all(isinstance(item, datetime) for item in value)
    given: Iterable[Any] = value if many else [value] if value else ()
    return tuple(schedule(one) for one in given)


_CHECKS: dict[str, Any] = {
    "id": _id, "task": _task, "name": _word, "data": _json(dict), "args": _json(tuple), "schedules": _schedules,
    "backup_every": _number(0.1, empty=True), "enabled": _one_of(Enabled), "overlap": _one_of(Overlap),
    "misfire": _one_of(Misfire), "grace": _number(0), "catch_up": _number(0),
    "pause_after": _number(1, empty=True, whole=True), "host": _word, "owner": _word,
    "priority": _number(0, empty=True, whole=True), "queue": _word, "options": _json(dict), "log_level": _level,
}  # fmt: skip
#: What of a definition is its editors': everything but its version and status.
CONFIGURED = tuple(_CHECKS)

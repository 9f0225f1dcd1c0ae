"""A definition, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from jobkit.definitions.checks import CHECKS
from jobkit.definitions.words import Enabled, Misfire, Overlap
from jobkit.model import to_plain
from jobkit.schedules import Schedule, next_slots
from jobkit.states import FiveState


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
        for name, check in CHECKS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))

    @property
    def job_id(self) -> str:
        """The id of its job; one that runs beside others (`Overlap.ALLOW`, `backfill`) has more behind it."""
        return f"@{self.id}"

    @property
    def is_scheduled(self) -> bool:
        """Whether its schedules fire."""
        return self.enabled is Enabled.ENABLED and not (self.status and self.status.paused)

    @property
    def is_asked(self) -> bool:
        """Whether its schedule is of a class of the application's own, see `Schedule.is_asked`."""
        return any(one.is_asked for one in self.schedules)

    def next_fire_times(self, after: datetime, count: int = 10) -> list[datetime]:
        """Its next slots after a moment, whether it is enabled or not."""
        return next_slots(self.schedules, after, count)

    def to_json(self) -> dict[str, Any]:
        """Plain types only; `Definitions.create(**…)` takes them again, but for `version` and `status`."""
        plain = {item.name: to_plain(getattr(self, item.name)) for item in fields(self)}
        return plain | {"schedules": [one.to_json() for one in self.schedules]}

"""``celery -A app beat -S jobkit``: any number at once, no leader, no file.

Its entries are the definitions in Redis, and the app's `beat_schedule`, which becomes definitions that nobody else
edits: what they send is read from the configuration when they fire.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery import beat as celery_beat
from celery.schedules import BaseSchedule
from kombu.exceptions import OperationalError

from jobkit.definitions import Definition, Misfire, Overlap
from jobkit.errors import DefinitionConflict, InvalidOption, StoreError
from jobkit.ext import sending
from jobkit.schedules import schedule
from jobkit.schedules.own import Own
from jobkit.services.beating import Beat
from jobkit.store import Plan, Verdict, recipes

if TYPE_CHECKING:
    from celery import Celery

    from jobkit.ext.app import JobKit

log = logging.getLogger("jobkit")

#: Seconds between two looks at what is due, at most: a new definition is seen that soon.
LOOK = 1.0
#: Seconds after which a schedule of a class of the application's own is asked again, at most: as Celery's beat does.
ASKED = 300.0
_STRANGE = re.compile(r"[^A-Za-z0-9_.:-]")


class Scheduler(celery_beat.Scheduler):
    """Celery's scheduler, over definitions."""

    max_interval = LOOK

    def __init__(self, app: Celery, *args: Any, **options: Any) -> None:
        self.beat = BeatOf(app.jobkit)
        super().__init__(app, *args, **{**options, "schedule": {}})
        self.max_interval = min(self.max_interval, LOOK)
        self._failing = ""

    def setup_schedule(self) -> None:
        """Nothing yet: see `tick`."""

    def tick(self, *_: Any, **__: Any) -> float:
        """Fire what is due; returns seconds until the next look.  A Redis that does not answer is complained of."""
        try:
            wait = self.beat.run_once()
        except (StoreError, OperationalError) as exc:
            if self._failing != type(exc).__name__:
                log.error("beat: nothing fires until this works again: %s", exc)
            self._failing = type(exc).__name__
            return float(self.max_interval)
        if self._failing:
            log.warning("beat: works again")
        self._failing = ""
        return float(self.max_interval if wait is None else min(wait, self.max_interval))

    @property
    def info(self) -> str:
        """What beat prints of it when it starts."""
        return f"    . definitions -> {self.app.jobkit.store.url} {self.app.jobkit.settings.namespace}"


@dataclass(frozen=True)
class _Clock:
    """Redis's time, which all beats share: for schedules without a clock of their own."""

    at: datetime

    def __call__(self) -> datetime:
        return self.at


class BeatOf:
    """The beat of an app: in a process of its own, or in a worker."""

    def __init__(self, jobs: JobKit) -> None:
        self._jobs, self._ready = jobs, False
        self._entries: dict[str, celery_beat.ScheduleEntry] = {}

    def run_once(self) -> float | None:
        """See `Beat.run_once`; the first time, what the app declares is written first."""
        if not self._ready:
            self._jobs.prepare()
            self._entries = entries(self._jobs)
            self._beat = Beat(self._jobs.store, self._send, f"beat {self._jobs._by}", self._knows, self._ask)
            self._ready = True
        return self._beat.run_once()

    def _knows(self, one: Definition) -> bool:
        return one.id in self._entries or not (one.is_asked or one.id.startswith("beat:"))

    def _ask(self, one: Definition, since: datetime, at: datetime) -> tuple[bool, float]:
        """Ask as Celery's beat does: with the last run, and again after what it says, or five minutes."""
        entry, zone = self._entries[one.id], self._jobs.app.timezone
        clock = getattr(entry.schedule, "nowfun", entry)
        if clock is None or isinstance(clock, _Clock):
            entry.schedule.nowfun = _Clock(at.astimezone(zone))
        entry.last_run_at = since.astimezone(zone)
        due, seconds = entry.is_due()
        return bool(due), min(float(seconds), ASKED)

    def _send(self, one: Definition, job_id: str, record: Callable[[Plan], Verdict]) -> Verdict | None:
        entry = self._entries.get(one.id)
        if entry:
            args = celery_beat._evaluate_entry_args(entry.args)
            kwargs = celery_beat._evaluate_entry_kwargs(entry.kwargs)
            headers = {**(entry.options.get("headers") or {}), sending.BEAT_HEADER: True}
            return sending.send_task(
                self._jobs, one, job_id, record, args, kwargs, {**entry.options, "headers": headers}
            )
        return sending.send(self._jobs, one, job_id, record)


def entries(jobs: JobKit) -> dict[str, celery_beat.ScheduleEntry]:
    """Make definitions of the app's `beat_schedule`; those of entries that are there no more are deleted.

    Returns: the entries by the id of their definition.  Raises: `InvalidOption` for a schedule that cannot be.
    """
    found, app = {}, jobs.app
    prefix = f"beat:{_STRANGE.sub('_', app.main or '')}:"
    default = celery_beat.Scheduler(app, lazy=True)
    default.schedule = {}
    default.install_default_entries(app.conf.beat_schedule)
    default.update_from_dict(app.conf.beat_schedule)
    for name, entry in default.schedule.items():
        one = _definition(prefix + _STRANGE.sub("_", name), name, entry, str(app.timezone))
        found[one.id] = entry
        _write(jobs, one)
    gone = [one.id for one in jobs.definitions.query(name=prefix) if one.id.startswith(prefix) and one.id not in found]
    jobs.definitions.delete(*gone)
    return found


def _definition(name: str, title: str, entry: Any, zone: str) -> Definition:
    own = type(entry.schedule).__module__ != BaseSchedule.__module__
    try:
        when = schedule(Own.of(entry.schedule) if own else entry.schedule, timezone=zone)
    except InvalidOption as exc:
        raise InvalidOption(option=f"beat_schedule[{title!r}]", value=entry.schedule, allowed=exc.allowed) from exc
    return Definition(
        id=name, name=title, task=entry.task, schedules=(when,), overlap=Overlap.ALLOW, misfire=Misfire.ONCE
    )


def _write(jobs: JobKit, one: Definition) -> None:
    stored = recipes.read(jobs.store, [one.id])[0]
    new = replace(one, version=stored.version, status=stored.status) if stored else one
    if new != stored:
        try:
            # Without arguments of its own the message's are kept when a run is claimed.
            jobs.definitions._write([(new, stored)], {"args": "", "data": ""})
        except DefinitionConflict:
            log.debug("another beat has written %s", one.id)

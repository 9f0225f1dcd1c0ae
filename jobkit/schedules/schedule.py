"""One schedule: a rule, and what is around it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from jobkit.errors import InvalidOption
from jobkit.schedules.calendars import checked, excludes
from jobkit.schedules.own import Own
from jobkit.schedules.rules import Rule, whole

#: Excluded days in a row after which a schedule is taken to fire no more.
_EXCLUDED = 4_000
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Schedule:
    """A rule in a time zone, from `start` to `end`, without the days in `exclude`, up to `jitter` seconds late.

    Made by `schedule`.  Every moment it takes has a time zone, every moment it gives is in UTC.
    """

    rule: Rule
    timezone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    jitter: float = 0.0
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        zone(self.timezone)
        for name in ("start", "end"):
            moment = getattr(self, name)
            if moment is not None and (not isinstance(moment, datetime) or moment.tzinfo is None):
                raise InvalidOption(option=name, value=moment, allowed="must be a datetime with a time zone")
            object.__setattr__(self, name, moment and whole(moment))
        if isinstance(self.jitter, bool) or not isinstance(self.jitter, int | float) or not self.jitter >= 0:
            raise InvalidOption(option="jitter", value=self.jitter, allowed="must be seconds, 0 or more")
        object.__setattr__(self, "exclude", checked(self.exclude))

    @property
    def is_asked(self) -> bool:
        """Whether it has no moments that are known ahead: a beat asks it when the next one is."""
        return isinstance(self.rule, Own)

    def slots(self, after: datetime) -> Iterator[datetime]:
        """Its slots after a moment, ascending."""
        where = zone(self.timezone)
        if self.start and after < self.start:
            after = self.start - timedelta(microseconds=1)
        for _ in range(_EXCLUDED):
            for moment in self.rule.moments(after, where, self.start):
                if self.end and moment > self.end:
                    return
                if excludes(self.exclude, moment, where):
                    after = _end_of_day(moment, where)
                    break
                yield moment
            else:
                return

    def after(self, moment: datetime) -> datetime | None:
        """The first slot after a moment; None if there is none any more."""
        return next(self.slots(moment), None)

    def before(self, moment: datetime) -> datetime | None:
        """The last slot before a moment; None if there was none in the 41 years before."""
        span = timedelta(hours=1)
        while span < timedelta(days=366 * 41 * 2):
            found = None
            for slot in self.slots(moment - span):
                if slot >= moment:
                    break
                found = slot
            if found:
                return found
            span *= 8
        return None

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Its slots from `start` to before `end`."""
        for slot in self.slots(start - timedelta(microseconds=1)):
            if slot >= end:
                return
            yield slot

    def fires(self, slot: datetime, name: str) -> datetime:
        """When a slot fires: with its jitter, which all that ask with the same name agree on."""
        late = self.jitter * random.Random(f"{name} {slot.timestamp()}").random()  # noqa: S311  not a secret
        return slot + timedelta(seconds=late)

    def to_json(self) -> dict[str, Any]:
        """Plain types, which `schedule` takes again."""
        around: dict[str, Any] = {"timezone": self.timezone, "jitter": self.jitter, "exclude": list(self.exclude)}
        around |= {name: at.isoformat() for name in ("start", "end") if (at := getattr(self, name))}
        return {self.rule.kind: self.rule.to_json()} | {name: value for name, value in around.items() if value}


def _end_of_day(moment: datetime, where: ZoneInfo) -> datetime:
    day = moment.astimezone(where).date() + _DAY
    after = datetime(day.year, day.month, day.day, tzinfo=where).astimezone(timezone.utc)
    return max(moment, after - timedelta(microseconds=1))


def zone(name: str) -> ZoneInfo:
    """A time zone by its name.  Raises: `InvalidOption`."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError):
        allowed = "must be the name of a time zone, such as Europe/Berlin"
        raise InvalidOption(option="timezone", value=name, allowed=allowed) from None


def next_slot(name: str, schedules: Iterable[Schedule], after: datetime) -> tuple[datetime, datetime] | None:
    """The first slot of several schedules after a moment, and when it fires; `name` decides the jitter."""
    found = [(slot, one.fires(slot, name)) for one in schedules if (slot := one.after(after))]
    return min(found, default=None)


def next_slots(schedules: Iterable[Schedule], after: datetime, count: int = 10) -> list[datetime]:
    """The next slots of several schedules, each moment once."""
    found = {slot for one in schedules for slot in islice(one.slots(after), count)}
    return sorted(found)[:count]

"""The rules a schedule can have: each knows its moments after a given one, and its text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from functools import cached_property
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from celery.exceptions import ImproperlyConfigured
from celery.schedules import ParseException, crontab, solar

from jobkit.errors import InvalidOption
from jobkit.schedules.wall import moments

#: What fires on no day in so many will not fire: the 29th of February on a given weekday needs 40 years.
DAYS_AHEAD = 366 * 41
#: Intervals count from here where a schedule has no start.
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DAY = timedelta(days=1)


def whole(moment: datetime) -> datetime:
    """A moment to the millisecond, which is what is stored."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Rule(Protocol):
    """What every rule can do."""

    kind: str

    def moments(self, after: datetime, zone: ZoneInfo, start: datetime | None) -> Iterator[datetime]:
        """Its moments after `after`, ascending, in UTC; `start` is where its schedule begins."""

    def to_json(self) -> Any:
        """What its text form says behind its kind."""


@dataclass(frozen=True)
class Crontab:
    """Five fields as Celery reads them: minute, hour, day of month, month, day of week; all have to fit."""

    text: str
    kind = "crontab"

    def __post_init__(self) -> None:
        _ = self._fields

    @cached_property
    def _fields(self) -> crontab:
        try:
            return crontab.from_string(self.text)
        except (ParseException, ValueError, TypeError) as exc:
            allowed = f"must be five fields, minute hour day-of-month month day-of-week: {exc}"
            raise InvalidOption(option="crontab", value=self.text, allowed=allowed) from exc

    def moments(self, after: datetime, zone: ZoneInfo, start: datetime | None) -> Iterator[datetime]:
        """See `Rule`."""
        return moments(self._walls, zone, after, twice=len(self._fields.hour) == 24)

    def _walls(self, begin: datetime) -> Iterator[datetime]:
        hours, minutes = sorted(self._fields.hour), sorted(self._fields.minute)
        for days in range(DAYS_AHEAD):
            day = begin.date() + days * _DAY
            if not self._has(day):
                continue
            for hour in hours:
                if days == 0 and hour < begin.hour:
                    continue
                for minute in minutes:
                    wall = datetime.combine(day, time(hour, minute))
                    if wall >= begin:
                        yield wall

    def _has(self, day: Any) -> bool:
        fields = self._fields
        return (
            day.month in fields.month_of_year
            and day.day in fields.day_of_month
            and day.isoweekday() % 7 in fields.day_of_week
        )

    def to_json(self) -> str:
        """The five fields."""
        return self.text


@dataclass(frozen=True)
class Every:
    """Every so many seconds, counted from the start of the schedule, else from 1970: all clocks agree on the slots."""

    seconds: float
    kind = "every"

    def __post_init__(self) -> None:
        good = isinstance(self.seconds, int | float) and not isinstance(self.seconds, bool)
        if not good or not 0.1 <= self.seconds < math.inf or self.seconds != round(self.seconds, 3):
            raise InvalidOption(option="every", value=self.seconds, allowed="must be whole milliseconds, 0.1 s or more")

    def moments(self, after: datetime, zone: ZoneInfo, start: datetime | None) -> Iterator[datetime]:
        """See `Rule`."""
        anchor, step = start or EPOCH, timedelta(seconds=self.seconds)
        number = max(0, (after - anchor) // step + 1)
        while True:
            yield (anchor + number * step).astimezone(timezone.utc)
            number += 1

    def to_json(self) -> float:
        """The seconds."""
        return self.seconds


@dataclass(frozen=True)
class Times:
    """Fixed moments, each once."""

    times: tuple[datetime, ...]
    kind = "times"

    def __post_init__(self) -> None:
        for moment in self.times:
            if not isinstance(moment, datetime) or moment.tzinfo is None:
                raise InvalidOption(option="times", value=moment, allowed="must be datetimes with a time zone")
        object.__setattr__(self, "times", tuple(sorted({whole(t).astimezone(timezone.utc) for t in self.times})))

    def moments(self, after: datetime, zone: ZoneInfo, start: datetime | None) -> Iterator[datetime]:
        """See `Rule`."""
        return (moment for moment in self.times if moment > after)

    def to_json(self) -> list[str]:
        """The moments as ISO 8601."""
        return [moment.isoformat() for moment in self.times]


@dataclass(frozen=True)
class Sun:
    """An event of the sun at a place, as Celery's `solar` knows them; needs the library ephem."""

    event: str
    latitude: float
    longitude: float
    kind = "solar"

    def __post_init__(self) -> None:
        _ = self._solar

    @cached_property
    def _solar(self) -> solar:
        try:
            return solar(self.event, self.latitude, self.longitude)
        except (ValueError, TypeError, ImproperlyConfigured) as exc:
            raise InvalidOption(option="solar", value=self.to_json(), allowed=str(exc)) from exc

    def moments(self, after: datetime, zone: ZoneInfo, start: datetime | None) -> Iterator[datetime]:
        """See `Rule`."""
        while True:
            moment = after
            self._solar.nowfun = lambda: moment  # noqa: B023  read within this round
            event = (after + self._solar.remaining_estimate(after)).astimezone(timezone.utc)
            # Up to the next second, so that the event before a slot is not found again after it.
            after = event.replace(microsecond=0) + timedelta(seconds=1)
            yield after

    def to_json(self) -> list[Any]:
        """Event, latitude, longitude."""
        return [self.event, self.latitude, self.longitude]

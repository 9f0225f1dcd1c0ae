"""Recurrence rules of calendars (RFC 5545), as python-dateutil reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from dateutil import rrule as rules

from jobkit.errors import InvalidOption
from jobkit.schedules.wall import moments

_UNTIL = re.compile(r"UNTIL=(\d{8}T\d{6})Z")
#: Where a rule without DTSTART begins, if its schedule has no start either: a Monday.
_BEGIN = datetime(2001, 1, 1)
#: The length of one step, where all are of one length: only there the beginning may be moved near.
_STEP = {
    rules.WEEKLY: timedelta(weeks=1),
    rules.DAILY: timedelta(days=1),
    rules.HOURLY: timedelta(hours=1),
    rules.MINUTELY: timedelta(minutes=1),
    rules.SECONDLY: timedelta(seconds=1),
}


@dataclass(frozen=True)
class Recurrence:
    """``RRULE:FREQ=…`` with its DTSTART, EXDATE and RDATE lines, if any; times without a zone are the schedule's."""

    text: str
    kind = "rrule"

    def __post_init__(self) -> None:
        self._rule(ZoneInfo("UTC"), _BEGIN)

    def moments(self, after: datetime, zone: ZoneInfo, start: datetime | None) -> Iterator[datetime]:
        """See `Rule`."""
        begin = start.astimezone(zone).replace(tzinfo=None) if start else _BEGIN
        rule = self._rule(zone, begin)
        inner = getattr(rule, "_freq", None)
        twice = inner in (rules.HOURLY, rules.MINUTELY, rules.SECONDLY) and not getattr(rule, "_original_rule", {}).get(
            "byhour"
        )

        def walls(since: datetime) -> Iterator[datetime]:
            return iter(_near(rule, since).xafter(since, inc=True))

        return moments(walls, zone, after, twice=twice)

    def _rule(self, zone: ZoneInfo, begin: datetime) -> Any:
        text = _UNTIL.sub(lambda found: _in_zone(found[1], zone), self.text)
        try:
            rule = rules.rrulestr(text, dtstart=begin, ignoretz=True)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise InvalidOption(option="rrule", value=self.text, allowed=f"must be a rule of RFC 5545: {exc}") from exc
        return rule

    def to_json(self) -> str:
        """The rule."""
        return self.text


def _in_zone(utc: str, zone: ZoneInfo) -> str:
    moment = datetime.strptime(utc, "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)
    return f"UNTIL={moment.astimezone(zone):%Y%m%dT%H%M%S}"


def _near(rule: Any, since: datetime) -> Any:
    """The same rule, beginning near `since`: dateutil walks through every step since its beginning."""
    step = _STEP.get(getattr(rule, "_freq", -1))
    if step is None or rule._count is not None or since <= rule._dtstart:
        return rule
    whole = step * rule._interval
    return rule.replace(dtstart=rule._dtstart + max(0, (since - rule._dtstart) // whole - 1) * whole)

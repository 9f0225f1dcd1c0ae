"""Exclusion calendars: the days on which nothing fires."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from zoneinfo import ZoneInfo

from jobkit.errors import InvalidOption

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORMS = "2026-12-24, 2026-12-24/2027-01-06, 12-25 (every year) or a weekday such as sat"


def checked(days: Iterable[str | date]) -> tuple[str, ...]:
    """The entries of a calendar, as text.  Raises: `InvalidOption`."""
    given = [days] if isinstance(days, str | date) else list(days)
    return tuple(_checked(f"{day:%Y-%m-%d}" if isinstance(day, date) else str(day).strip().lower()) for day in given)


def _checked(entry: str) -> str:
    try:
        if entry in WEEKDAYS:
            return entry
        if re.fullmatch(r"\d\d-\d\d", entry):
            date.fromisoformat(f"2024-{entry}")  # a leap year: every day there is
            return entry
        first, _, last = entry.partition("/")
        if date.fromisoformat(first) <= date.fromisoformat(last or first):
            return entry
    except ValueError:
        pass
    raise InvalidOption(option="exclude", value=entry, allowed=f"must be days: {_FORMS}")


def excludes(entries: Iterable[str], moment: datetime, zone: ZoneInfo) -> bool:
    """Does the day of this moment, in this zone, stand in the calendar?"""
    day = moment.astimezone(zone).date()
    return any(_has(entry, day) for entry in entries)


def _has(entry: str, day: date) -> bool:
    if entry in WEEKDAYS:
        return WEEKDAYS[day.weekday()] == entry
    if len(entry) == 5:
        return f"{day:%m-%d}" == entry
    first, _, last = entry.partition("/")
    return first <= day.isoformat() <= (last or first)

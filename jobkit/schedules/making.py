"""What application code writes, made a schedule."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from celery import schedules as celery_schedules

from jobkit.errors import InvalidOption
from jobkit.schedules.calendars import checked
from jobkit.schedules.own import Own
from jobkit.schedules.recurrence import Recurrence
from jobkit.schedules.rules import Crontab, Every, Rule, Sun, Times
from jobkit.schedules.schedule import Schedule

_KINDS = {"crontab": Crontab, "every": Every, "rrule": Recurrence, "times": Times, "solar": Sun, "own": Own}


def schedule(
    rule: Any,
    *,
    timezone: str = "UTC",
    start: datetime | str | None = None,
    end: datetime | str | None = None,
    jitter: float = 0.0,
    exclude: Iterable[str | date] = (),
) -> Schedule:
    """Make a schedule.

    Parameters: `rule`: seconds or a timedelta; Celery's `crontab`, `schedule` or `solar`; text: the five fields of a
    crontab or ``RRULE:…``; datetimes; or what `Schedule.to_json` gave.  `timezone`, by name, is where wall clocks are
    read; `start` and `end` (both inclusive); `jitter`, seconds a slot may fire late, drawn for each; `exclude`, days on
    which nothing fires: dates, ``2026-12-24/2027-01-06``, ``12-25``, ``sat``.
    Raises: `InvalidOption`.
    """
    if isinstance(rule, Schedule):
        return rule
    if isinstance(rule, dict):
        return _from_json(rule, timezone)
    made = _rule(rule)
    return Schedule(made, timezone, _moment("start", start), _moment("end", end), jitter, checked(exclude))


def _from_json(given: dict[str, Any], timezone: str) -> Schedule:
    kinds = [name for name in given if name in _KINDS]
    strange = given.keys() - _KINDS.keys() - {"timezone", "start", "end", "jitter", "exclude"}
    if len(kinds) != 1 or strange:
        allowed = f"must have one of {', '.join(_KINDS)}, and timezone, start, end, jitter, exclude"
        raise InvalidOption(option="schedule", value=given, allowed=allowed)
    around = {"timezone": timezone} | {name: value for name, value in given.items() if name != kinds[0]}
    value = given[kinds[0]]
    if kinds[0] == "times":
        return schedule(Times(tuple(filter(None, (_moment("times", item) for item in value)))), **around)
    if kinds[0] == "solar":
        return schedule(Sun(*value), **around)
    return schedule(_KINDS[kinds[0]](value), **around)


def _rule(rule: Any) -> Rule:
    if isinstance(rule, Crontab | Every | Recurrence | Times | Sun | Own):
        return rule
    if isinstance(rule, str):
        return Recurrence(rule) if "FREQ=" in rule.upper() else Crontab(rule)
    if isinstance(rule, datetime):
        return Times((rule,))
    if isinstance(rule, timedelta):
        return Every(rule.total_seconds())
    if isinstance(rule, int | float):
        return Every(rule)
    if isinstance(rule, list | tuple) and all(isinstance(item, datetime) for item in rule):
        return Times(tuple(rule))
    return _of_celery(rule)


def _of_celery(rule: Any) -> Rule:
    # Not their subclasses: what those do beyond is not known here.
    if type(rule) is celery_schedules.crontab:
        names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        return Crontab(" ".join(_field(getattr(rule, f"_orig_{name}")) for name in names))
    if type(rule) is celery_schedules.solar:
        return Sun(rule.event, rule.lat, rule.lon)
    if type(rule) is celery_schedules.schedule:
        return Every(rule.run_every.total_seconds())
    allowed = "must be seconds, a timedelta, a crontab, solar, RRULE:… or datetimes"
    raise InvalidOption(option="schedule", value=rule, allowed=allowed)


def _field(value: Any) -> str:
    if isinstance(value, str | int):
        return str(value).replace(" ", "")
    return ",".join(str(item) for item in sorted(value))


def _moment(option: str, value: datetime | str | None) -> datetime | None:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        raise InvalidOption(option=option, value=value, allowed="must be a time as ISO 8601") from None

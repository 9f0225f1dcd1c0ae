"""Moments as the store has them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from jobkit.errors import InvalidOption


def start(option: str, when: datetime | float) -> int | str:
    """When a job is to start: a moment as Redis time, or "+ms" from when Redis hears of it, whatever time it is here.

    Raises: as `milliseconds`.
    """
    moment = milliseconds(option, when)
    return moment if isinstance(when, datetime) else f"+{int(when * 1000)}"


def milliseconds(option: str, when: datetime | float) -> int:
    """A moment as Redis time.  Raises: `InvalidOption` for a naive datetime or negative seconds."""
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise InvalidOption(option=option, value=when, allowed="must have a time zone (tzinfo)")
        return int(when.timestamp() * 1000)
    if isinstance(when, bool) or not isinstance(when, int | float) or not 0 <= when < 1e10:
        raise InvalidOption(
            option=option, value=when, allowed="must be an aware datetime, or seconds from now, 0 or more"
        )
    return int((datetime.now(timezone.utc) + timedelta(seconds=when)).timestamp() * 1000)

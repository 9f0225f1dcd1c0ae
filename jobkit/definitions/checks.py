"""What may stand in each field of a definition."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from jobkit.definitions.words import Enabled, Misfire, Overlap
from jobkit.errors import InvalidOption, nearest
from jobkit.schedules import Schedule, schedule

#: What an id may be.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")


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


#: The check of each field: returns what is kept.  Raises: `InvalidOption`.
CHECKS: dict[str, Any] = {
    "id": _id, "task": _task, "name": _word, "data": _json(dict), "args": _json(tuple), "schedules": _schedules,
    "backup_every": _number(0.1, empty=True), "enabled": _one_of(Enabled), "overlap": _one_of(Overlap),
    "misfire": _one_of(Misfire), "grace": _number(0), "catch_up": _number(0),
    "pause_after": _number(1, empty=True, whole=True), "host": _word, "owner": _word,
    "priority": _number(0, empty=True, whole=True), "queue": _word, "options": _json(dict), "log_level": _level,
}  # fmt: skip
#: What of a definition is its editors': everything but its version and status.
CONFIGURED = tuple(CHECKS)

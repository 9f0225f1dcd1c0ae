"""Schedules of a class of the application's own: only a process that has it can say when they are due."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from jobkit.errors import InvalidOption


@dataclass(frozen=True)
class Own:
    """What such a schedule is called; a beat that has it in its `beat_schedule` asks it."""

    text: str
    kind = "own"

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text:
            raise InvalidOption(option="own", value=self.text, allowed="must be the name of a schedule's class")

    @classmethod
    def of(cls, schedule: Any) -> Own:
        """Its class, and what it says of itself where every process says the same."""
        found, said = f"{type(schedule).__module__}.{type(schedule).__qualname__}", repr(schedule)
        return cls(found if " at 0x" in said else f"{found} {said}"[:500])

    def moments(self, after: datetime, zone: ZoneInfo, start: datetime | None) -> Iterator[datetime]:
        """None that are known ahead."""
        return iter(())

    def to_json(self) -> str:
        """The name."""
        return self.text

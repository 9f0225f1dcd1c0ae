"""The path of every run, made ready for drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobkit.model import Run, Transition
from jobkit.states import State


@dataclass(frozen=True, slots=True)
class Step:
    """One state of a run: the transition that led into it, and how long it stayed (None: it ended there)."""

    into: Transition
    stayed: timedelta | None

    @property
    def state(self) -> State:
        """Where the run stood."""
        return self.into.target


@dataclass(frozen=True, slots=True)
class DrawnRun:
    """One run: its steps, and how long all of them took."""

    number: int
    steps: tuple[Step, ...]

    @property
    def took(self) -> timedelta:
        """From its birth to its end, or until now."""
        return sum((step.stayed for step in self.steps if step.stayed), timedelta())

    @property
    def state(self) -> State:
        """Where it stands, or how it ended."""
        return self.steps[-1].state


def drawn(runs: Sequence[Run], now: datetime) -> tuple[DrawnRun, ...]:
    """The runs as steps, newest run first."""
    return tuple(DrawnRun(run.number, _steps(run.path, now)) for run in reversed(runs) if run.path)


def _steps(path: Sequence[Transition], now: datetime) -> tuple[Step, ...]:
    left: list[datetime | None] = [*(after.at for after in path[1:]), now if path[-1].target.is_live else None]
    return tuple(Step(into, until - into.at if until else None) for into, until in zip(path, left, strict=True))

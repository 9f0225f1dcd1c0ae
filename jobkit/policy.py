"""How long a job may run, how long it may take to end, and when it is run again."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobkit import locks as named
from jobkit.errors import InvalidOption
from jobkit.locks import Lock

#: The ends a policy may answer with another run [WI].
CAUSES = ("shutdown", "abort", "timeout", "error")
#: Seconds a job that is told to end has for it [WI: one minute].
GRACE = 60.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds before a restart: `first`, times `factor` each time, at most `most`, give or take `jitter` of it."""

    first: float = 1.0
    factor: float = 2.0
    most: float = 600.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        for name, least in (("first", 0.0), ("factor", 1.0), ("most", 0.0), ("jitter", 0.0)):
            _number(f"Backoff({name})", getattr(self, name), least)

    def delay(self, restarts: int) -> float:
        """Seconds before the next restart, after `restarts` of them."""
        seconds = min(self.first * self.factor ** min(restarts, 64), self.most)
        return max(0.0, seconds * (1 + self.jitter * random.uniform(-1, 1)))  # noqa: S311  jitter, not a secret


@dataclass(frozen=True, slots=True)
class Policy:
    """What a task may ask for: ``@app.task(policy=Policy(max_run_time=600, grace=60, max_restarts=3))``.

    * `max_run_time`: seconds a run may take before it is told to end; None: any.
    * `grace`: seconds it then has, before it is killed.
    * `max_restarts`: how often it is run again, counted per cause [WI MaxNumberOfRestarts].
    * `restart_on`: the causes, of `CAUSES`; a shutdown does not count against `max_restarts`.
    * `backoff`: the wait before a restart after a timeout or an error.
    * `expected_run_time`: seconds a run is expected to take, for its priority; None: what was learned of the task.
    * `locks`: what every job of the task has to hold (names, `Lock`, `Semaphore`, `Rate`), or a function of its
      arguments that says so.
    """

    max_run_time: float | None = None
    grace: float = GRACE
    max_restarts: int = 3
    restart_on: tuple[str, ...] = CAUSES
    backoff: Backoff = field(default_factory=Backoff)
    expected_run_time: float | None = None
    locks: Iterable[str | Lock] | Callable[..., Iterable[str | Lock]] = ()

    def __post_init__(self) -> None:
        if not callable(self.locks):
            object.__setattr__(self, "locks", named.checked("Policy(locks)", self.locks))
        if self.max_run_time is not None:
            _number("Policy(max_run_time)", self.max_run_time, 0.0)
        if self.expected_run_time is not None:
            _number("Policy(expected_run_time)", self.expected_run_time, 0.0)
        _number("Policy(grace)", self.grace, 0.0)
        if not isinstance(self.max_restarts, int) or self.max_restarts < 0:
            raise InvalidOption(option="Policy(max_restarts)", value=self.max_restarts, allowed="must be 0 or more")
        for cause in self.restart_on:
            if cause not in CAUSES:
                allowed = f"must be some of {', '.join(CAUSES)}"
                raise InvalidOption(option="Policy(restart_on)", value=cause, allowed=allowed)

    def restarts(self, cause: str, so_far: Mapping[str, int]) -> bool:
        """Is the job to be run again after this end?"""
        return cause in self.restart_on and (cause == "shutdown" or so_far.get(cause, 0) < self.max_restarts)

    def locks_for(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> tuple[Lock, ...]:
        """The locks of a job with these arguments."""
        wanted = self.locks(*args, **kwargs) if callable(self.locks) else self.locks
        return named.checked("Policy(locks)", wanted)

    def to_text(self) -> str:
        """The policy as it is kept with the record."""
        b = self.backoff
        wait = [b.first, b.factor, b.most, b.jitter]
        return json.dumps([self.max_run_time, self.grace, self.max_restarts, list(self.restart_on), wait])


def from_text(text: str) -> Policy:
    """A kept policy again."""
    run_time, grace, most, causes, wait = json.loads(text)
    return Policy(run_time, grace, most, tuple(causes), Backoff(*wait))


def _number(option: str, value: Any, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
        raise InvalidOption(option=option, value=value, allowed=f"must be a number, {least:g} or more")

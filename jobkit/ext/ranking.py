"""The priority of a message: what its caller said, what its policy declares, what was learned of its task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kombu.utils import json

from jobkit import priorities
from jobkit.policy import Policy
from jobkit.store import priorities as learned

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

#: Seconds what was learned is taken as it is.
FRESH = 30.0


class Ranking:
    """The levels of one app's jobs."""

    def __init__(self, jobs: JobKit) -> None:
        self._jobs = jobs
        self._driver = ""
        self._known: dict[str, float] = {}
        self._until = 0.0

    def level(self, task: str, asked: int | None) -> int:
        """The level of a job of this task."""
        if asked is not None:
            return asked
        policy = getattr(self._jobs.app.tasks.get(task), "policy", None)
        declared = policy.expected_run_time if isinstance(policy, Policy) else None
        return priorities.level(declared if declared is not None else self._learned().get(task))

    def for_broker(self, level: int) -> int:
        """What the app's broker calls it."""
        if not self._driver:
            self._driver = self._jobs.app.connection_for_write().transport.driver_type
        return priorities.for_broker(level, self._driver)

    def rewrite(self, message: str, level: int) -> tuple[str, int]:
        """A kept message at another level, and what the broker calls that."""
        wire: dict[str, Any] = json.loads(message)
        wire["priority"] = self.for_broker(level)
        return json.dumps(wire), wire["priority"]

    def _learned(self) -> dict[str, float]:
        if time.monotonic() >= self._until:
            self._known, self._until = learned.expected(self._jobs.store), time.monotonic() + FRESH
        return self._known

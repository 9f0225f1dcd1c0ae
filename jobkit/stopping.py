"""How a task body learns that it should finish: a memory read, and one look at the store when something was ordered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from jobkit.states import State

#: The states that tell a run to end, and what a run that was taken over reads.
STOPS = frozenset(
    {
        State.SHUTDOWN_REQUEST,
        State.PAUSE_REQUEST,
        State.CANCELLING_BY_SYSTEM,
        State.CANCELLING_BY_USER,
        State.ABORTED,
    }
)
#: Seconds between two looks of the thread that serves a callback.
CALLBACK_INTERVAL = 0.05


class Orders(Protocol):
    """A number that changes whenever an order came for some job of this worker."""

    def __call__(self) -> int:
        """The number now: a memory read."""


class StopSwitch:
    """Whether this run was told to end, and why.

    Parameters: `orders`, the memory read; `look`, which asks the store where the run stands (ABORTED if it has another
    owner by now).  The store is asked only after an order came for any job of this worker, so a false alarm costs a
    round trip and nothing else.
    """

    def __init__(self, orders: Orders, look: Callable[[], State]) -> None:
        self._orders, self._look = orders, look
        self._seen = orders()
        self.reason: State | None = None
        #: Called once, when the run is found to have been told to end.
        self.then: Callable[[], object] = lambda: None

    def __call__(self) -> bool:
        """Should the run finish?"""
        if self.reason is None:
            number = self._orders()
            if number != self._seen:
                self._seen = number
                state = self._look()
                if state in STOPS:
                    self.reason = state
                    self.then()
        return self.reason is not None


class Watcher(threading.Thread):
    """Calls a body's callback once, as soon as it should finish."""

    def __init__(self, switch: StopSwitch, callback: Callable[[State], object]) -> None:
        super().__init__(name="jobkit-watcher", daemon=True)
        self._switch, self._callback = switch, callback
        self._over = threading.Event()

    def run(self) -> None:
        """Look, until the run is over."""
        while not self._over.wait(CALLBACK_INTERVAL):
            if self._switch():
                self._callback(self._switch.reason or State.ABORTED)
                return

    def stop(self) -> None:
        """The run is over."""
        self._over.set()

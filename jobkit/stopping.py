"""How a task body learns that it should finish: a memory read, and one look at the store when something was ordered."""

from __future__ import annotations

import threading
import time
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
#: Seconds between the first sight of a lease that ran out and the end of trust.
DOUBT = 0.5
#: Seconds between two looks of the thread that serves a callback.
CALLBACK_INTERVAL = 0.05


class Orders(Protocol):
    """A number that changes whenever an order came for some job of this worker."""

    def __call__(self) -> int:
        """The number now: a memory read."""


class StopSwitch:
    """Whether this run was told to end, and why.

    Parameters: `orders`, the memory read; `look`, which asks the store where the run stands (ABORTED if it has another
    owner by now); `lapsed`, another memory read: has the worker failed to prove itself alive, so that others may have
    the run?; `seen`, the number before the run was claimed: what was ordered since may be for it.
    The store is asked only after an order came for any job of this worker, so a false alarm costs a round trip and
    nothing else.
    """

    def __init__(
        self,
        orders: Orders,
        look: Callable[[], State],
        lapsed: Callable[[], bool] = lambda: False,
        seen: int | None = None,
    ) -> None:
        self._orders, self._look, self._lapsed = orders, look, lapsed
        self._seen = orders() if seen is None else seen
        self._doubted: float | None = None
        self.reason: State | None = None
        #: Called once, when the run is found to have been told to end.
        self.then: Callable[[], object] = lambda: None

    def __call__(self) -> bool:
        """Should the run finish?"""
        if self.reason is None:
            number = self._orders()
            if number != self._seen:
                self.tell(self._look())
                self._seen = number
            elif self._lapsed():
                self._doubt()
            else:
                self._doubted = None
        return self.reason is not None

    def is_lost(self) -> bool:
        """Has somebody else taken the run over since its claim?  Asked only where that may be, as after a freeze."""
        return (self._orders() != self._seen or self._lapsed()) and self._look() is State.ABORTED

    def _doubt(self) -> None:
        """A worker that was frozen as a whole proves itself alive first, before its bodies give up."""
        now = time.monotonic()
        self._doubted = self._doubted or now
        if now - self._doubted >= DOUBT:
            self.tell(State.ABORTED)

    def tell(self, state: State) -> None:
        """The run stands there: if that tells it to end, it does."""
        if state in STOPS and self.reason is None:
            self.reason = state
            self.then()


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

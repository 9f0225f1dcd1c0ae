"""Ctrl-C and its like: they end the demonstration, but never between a start and the note that it was made."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns signals into KeyboardInterrupt or SystemExit, at once or, while they are held, later."""

    def __init__(self) -> None:
        self.caught = 0  #: the signal that came while they were held
        self._held = False
        self._before: dict[signal.Signals, Any] = {}

    def hold(self) -> None:
        """From now on they wait."""
        self._held = True

    def release(self) -> None:
        """They no longer wait; raises what came meanwhile."""
        self._held = False
        if self.caught:
            self._end(self.caught)

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._come) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _come(self, number: int, frame: FrameType | None) -> None:
        if self._held:
            self.caught = number
        else:
            self._end(number)

    def _end(self, number: int) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

"""The one loop all duties share: every so often, never dying of an error, stopped at once."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Collection, Mapping

from jobkit.errors import JobkitError

log = logging.getLogger("jobkit")

#: Rounds after which every duty has its turn, whether it seems to have anything to do or not.
EVERY = 4


class Loop(threading.Thread):
    """Run duties every `interval` seconds, with jitter so that many workers do not march in step.

    A duty that fails is logged once per kind of failure in a row, and tried again in the next round.
    Parameters: `idle` says, in one call for all of them, which duties have nothing to do in this round; it is asked in
    all rounds but each `EVERY`th, in which every duty has its turn.
    """

    def __init__(
        self,
        duties: Mapping[str, Callable[[], object]],
        interval: float,
        name: str = "jobkit-keeper",
        idle: Callable[[], Collection[str]] = lambda: (),
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._duties, self._interval, self._idle = dict(duties), interval, idle
        self._over, self._now = False, threading.Event()
        self._failing: dict[str, str] = {}

    def run(self) -> None:
        """Rounds, until stop()."""
        turns = 0
        while True:
            self._now.wait(self._interval * random.uniform(0.8, 1.2))  # noqa: S311  jitter, not a secret
            self._now.clear()
            if self._over:
                return
            idle = self._ask() if turns % EVERY else ()
            turns += 1
            for name in self._duties:
                if name not in idle:
                    self.round(name)

    def _ask(self) -> Collection[str]:
        try:
            return self._idle()
        except JobkitError as exc:
            self._complain("looking", exc)
            return ()

    def round(self, name: str) -> None:
        """One duty, once."""
        try:
            self._duties[name]()
        except Exception as exc:  # whatever it is, the other duties and the next round go on
            self._complain(name, exc)
        else:
            if self._failing.pop(name, None):
                log.info("keeper: %s works again", name)

    def _complain(self, name: str, exc: Exception) -> None:
        kind = type(exc).__name__
        if self._failing.get(name) != kind:
            self._failing[name] = kind
            log.error("keeper: %s failed, trying on: %s", name, exc, exc_info=not isinstance(exc, JobkitError))

    def hurry(self) -> None:
        """Have the next round now; also for a signal's handler."""
        self._now.set()

    def stop(self, timeout: float = 5.0) -> None:
        """End after the round under way."""
        self._over = True
        self.hurry()
        if self.is_alive():
            self.join(timeout)

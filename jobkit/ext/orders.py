"""Orders for running jobs: they reach the worker's main process, and every child sees in its memory that one came."""

from __future__ import annotations

import logging
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from functools import cache

from jobkit.errors import StoreError
from jobkit.store import JobStore, workers

log = logging.getLogger("jobkit")

#: How many orders came, and until when the worker's claims may be trusted (ns of the monotonic clock, 0: for ever);
#: shared with every child that is forked after this module was imported.
_page, _NUMBERS = mmap.mmap(-1, 16), struct.Struct("<qq")
#: Seconds one wait for an order takes at most; then the thread looks whether it is over.
WAIT = 1.0


def number() -> int:
    """How many orders came so far: a memory read."""
    return int(_NUMBERS.unpack_from(_page)[0])


def announce() -> None:
    """Let every body of this worker look."""
    _page[:8] = (number() + 1).to_bytes(8, "little")


def trust(seconds: float) -> None:
    """Nobody can take this worker's runs over for so many seconds from now."""
    _page[8:16] = (time.monotonic_ns() + int(seconds * 1e9)).to_bytes(8, "little")


def lapsed() -> bool:
    """May somebody have taken this worker's runs over by now?  A memory read."""
    until = _NUMBERS.unpack_from(_page)[1]
    return bool(until) and time.monotonic_ns() > until


@cache
def _shares_page(pid: int) -> bool:
    return "FORKED_BY_MULTIPROCESSING" not in os.environ


def _every_second() -> int:
    return int(time.monotonic())


def reader() -> Callable[[], int]:
    """How this process learns of orders: from the shared page, or by looking once a second where it was not forked."""
    return number if _shares_page(os.getpid()) else _every_second


class Listener(threading.Thread):
    """Takes the orders of one worker, the moment they are given.

    Where an answer was lost the records say what was ordered: `handle` hears of it, perhaps again.
    Parameters: `store`, one that gives up soon; `wait`, seconds one wait takes at most, fewer than after which it does.
    """

    def __init__(
        self, store: JobStore, worker: str, handle: Callable[[str, int, float, bool], None], wait: float = WAIT
    ) -> None:
        super().__init__(name="jobkit-orders", daemon=True)
        self._store, self._worker, self._handle, self._wait = store, worker, handle, wait
        self._over = threading.Event()
        self._missed = False

    def run(self) -> None:
        """Wait for orders, until stop()."""
        while not self._over.is_set():
            try:
                if self._missed:
                    self._catch_up()
                order = workers.orders(self._store, self._worker, self._wait)
            except StoreError as exc:
                if not self._missed:
                    log.error("orders for running jobs cannot be read, trying on: %s", exc)
                self._missed = True
                self._over.wait(WAIT)
                continue
            if order:
                announce()
                self._handle(*order, False)

    def _catch_up(self) -> None:
        found = workers.told(self._store, self._worker)
        announce()
        for order in found:
            self._handle(*order, True)
        self._missed = False

    def stop(self) -> None:
        """End with the wait under way."""
        self._over.set()

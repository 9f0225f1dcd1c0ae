"""A worker that goes down takes no more messages, and then tells its jobs: what they hand over is for the others.

So is what it has reserved and not begun.

The order matters.  Celery's main loop may sleep through the signal for a second, and the fetch (BRPOP) it has sent goes
on in Redis after that: first in line, it would get the message of the very run that was handed over.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import Any

from celery import signals
from celery.concurrency.base import BasePool
from celery.concurrency.solo import TaskPool as SoloPool

from jobkit.ext.qos import QoS
from jobkit.ext.request import begun


class Leaving:
    """When to tell the jobs of this worker that it goes down.

    Parameters: the Celery `worker`; `tell`, which does it; `hurry` has `run_once` called now.
    """

    def __init__(self, worker: Any, tell: Callable[[], object]) -> None:
        self._worker, self._tell = worker, tell
        self._asked = False
        self._at: float | None = None
        self.hurry: Callable[[], object] = lambda: None

    def listen(self) -> None:
        """Hear of every way a worker is told to go."""
        signals.worker_shutting_down.connect(self._wake, weak=False)
        self._wait, self._worker.wait_for_soft_shutdown = self._worker.wait_for_soft_shutdown, self._soften

    def run_once(self) -> None:
        """Have the main loop see the signal; tell the jobs when it is time to."""
        if self._asked:
            self._asked = False
            self._worker.consumer.call_soon(lambda: None)
        if self._at is not None and time.monotonic() >= self._at:
            self._tell()
            _hand_back(self._channel)
            self._at = None

    def has_closed(self) -> None:
        """No more messages are taken (warm shutdown): give back the one that is on its way, and tell the jobs."""
        try:
            _give_back(self._channel)
        finally:
            self._at = time.monotonic()
            self.hurry()

    def _wake(self, **_: Any) -> None:
        # In a signal's handler: what takes a lock is done in the keeper's thread.
        self._asked = True
        if isinstance(self._worker.pool, SoloPool):
            self._at = time.monotonic()  # its main loop is in the body, and takes no messages
        self.hurry()

    def _soften(self) -> None:
        """Before a cold shutdown, in the signal's handler: the main loop rests until the soft timeout is over."""
        seconds, pool = self._worker.app.conf.worker_soft_shutdown_timeout, self._worker.pool
        if getattr(pool.terminate_job, "__func__", None) is BasePool.terminate_job:
            # A thread cannot be cut off: the shutdown would fail at it.  It is told, and has as long as there is.
            pool.terminate_job = lambda pid, signal=None: None
            seconds = seconds or float("inf")
        if seconds > 0:
            self._at = time.monotonic() + min(getattr(self._channel, "brpop_timeout", 0), seconds / 2)
        self._wait()

    @property
    def _channel(self) -> Any:
        """What messages come from; None while there is no connection."""
        return getattr(getattr(self._worker.consumer, "task_consumer", None), "channel", None)


def _hand_back(channel: Any) -> None:
    """What was reserved and not begun need not wait for the last body to end, as it does with kombu."""
    qos = getattr(channel, "qos", None)
    if isinstance(qos, QoS):
        # A process of the pool may be about to begin one all the same: whoever claims it first has it.
        with suppress(*channel.connection_errors):
            qos.hand_back(begun())


def _give_back(channel: Any) -> None:
    """What Redis handed to a fetch that nobody waits for any more goes back to its queue; kombu does it at the end."""
    fetch = getattr(channel, "_in_poll", None)
    if fetch and fetch._sock and select.select([fetch._sock], [], [], channel.brpop_timeout + 1)[0]:
        with suppress(Empty, *channel.connection_errors):
            channel._brpop_read()

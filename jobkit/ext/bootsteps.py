"""The keeper: one thread in the worker's main process, started after the pool has forked."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import bootsteps, signals
from celery.worker.components import Pool

from jobkit.errors import StoreError
from jobkit.ext import identity, lost, messages
from jobkit.services import leases, publishing, retention
from jobkit.services.leases import Heartbeat
from jobkit.services.loop import Loop

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

log = logging.getLogger("jobkit")


class Keeper(bootsteps.StartStopStep):
    """Proves the worker alive, takes over from those that vanished, publishes what is due or owed, drops what expired.

    Any number of workers do so at once; there is no leader.
    """

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        # Before the pool forks: every child inherits it.
        self.identity = identity.become_worker(worker.hostname)
        self.loop: Loop | None = None

    def start(self, worker: Any) -> None:
        """Start the thread; the worker is alive before it takes the first message."""
        jobs: JobKit = worker.app.jobkit
        jobs.prepare()
        store, settings = jobs.store, jobs.settings
        self.heart = Heartbeat(store, self.identity, settings.lease, settings.renew)
        self.heart.run_once()
        publish = partial(messages.publish, worker.app)
        duties: dict[str, Callable[[], object]] = {
            "heartbeat": self.heart.run_once,
            "rescue": partial(leases.rescue, self.heart, partial(lost.settle, jobs)),
            "publishing": partial(publishing.run_once, store, publish, f"keeper of {worker.hostname}"),
            "retention": partial(retention.run_once, store),
        }
        self.loop = Loop(duties, settings.keeper_interval)
        self.loop.start()
        # Celery stops its steps before it drains the pool; the lease has to outlive the last running task.
        signals.worker_shutdown.connect(self.goodbye, weak=False)
        atexit.register(self.goodbye)

    def goodbye(self, **_: Any) -> None:
        """The last task is done, or the process ends: give the lease back."""
        loop, self.loop = self.loop, None
        if loop is None:
            return
        loop.stop()
        try:
            self.heart.goodbye()
        except StoreError as exc:
            log.warning("the lease could not be given back, it runs out by itself: %s", exc)

    def stop(self, worker: Any) -> None:
        """Nothing yet: see `start`."""

    terminate = stop

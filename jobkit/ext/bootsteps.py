"""The keeper: threads in the worker's main process, started after the pool has forked."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import bootsteps, signals
from celery.concurrency.solo import TaskPool as SoloPool
from celery.worker import state as worker_state
from celery.worker.components import Pool

from jobkit.errors import StoreError
from jobkit.ext import children, identity, lost, messages, orders, pipes, request, settling
from jobkit.ext.acks import Acknowledgements
from jobkit.ext.kill import Executioner
from jobkit.ext.leaving import Leaving
from jobkit.ext.orders import Listener
from jobkit.ext.taint import Taint
from jobkit.ext.task import adopt
from jobkit.services import blocks, going_down, leases, looking, overtime, publishing, turns
from jobkit.services.ageing import Ageing
from jobkit.services.leases import Heartbeat
from jobkit.services.loop import Loop
from jobkit.services.lost_messages import Search
from jobkit.services.retention import Retention
from jobkit.services.strays import Strays
from jobkit.services.trimming import Trimming

if TYPE_CHECKING:
    from celery import Celery

    from jobkit.ext.app import JobKit

log = logging.getLogger("jobkit")


class Keeper(bootsteps.StartStopStep):
    """Proves the worker alive, takes over from those that vanished, publishes what is due or owed, drops what expired.

    Any number of workers do so at once; there is no leader.
    """

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        # Before the pool forks: every child inherits it, and the tasks that were registered late.
        self.identity = identity.become_worker(worker.hostname)
        adopt(worker.app)
        self.pid = os.getpid()
        self.leaving: Leaving | None = None
        self.loop: Loop | None = None

    def start(self, worker: Any) -> None:
        """Start the thread; the worker is alive before it takes the first message."""
        jobs: JobKit = worker.app.jobkit
        jobs.prepare()
        pipes.keep(worker)
        if worker.use_eventloop and not worker.autoscale:  # its loop turns whenever a job is begun, or over
            jobs.spare = worker.concurrency * (worker.prefetch_multiplier - 1)
        jobs.inline = isinstance(worker.pool, SoloPool)
        store, settings = jobs.store, jobs.settings
        self.heart = Heartbeat(
            jobs.pulse(), self.identity, settings.lease, settings.renew,
            orders.trust, orders.announce,
        )  # fmt: skip
        self.heart.run_once()
        publish = partial(messages.publish, worker.app)
        taint = Taint(worker, self.heart.goodbye)
        executioner = Executioner(jobs, worker, taint.add)
        wait = min(orders.WAIT, settings.renew / 2)
        self.listener = Listener(self.heart.store, self.identity, executioner.condemn, wait)
        by = f"keeper of {worker.hostname}"
        search = Search(store, worker_state.requests, partial(messages.queue_size, worker.app), settings.lease / 2)
        astray = partial(lost.settle, jobs, reason="its end could not be recorded")
        leaving = self.leaving = Leaving(worker, partial(going_down.run_once, store, self.identity, by))
        strays = Strays(store, self.identity, request.busy, settings.lease, astray)
        duties: dict[str, Callable[[], object]] = {
            "rescue": partial(leases.rescue, self.heart, partial(lost.settle, jobs)),
            "blocks": partial(blocks.run_once, store, jobs.publish, by),
            "families": partial(settling.run_once, jobs),
            "turns": partial(turns.run_once, store, by),
            "publishing": partial(publishing.run_once, store, publish, by),
            "lost messages": search.run_once,
            "strays": strays.run_once,
            "overtime": partial(overtime.run_once, self.heart, by),
            "children": partial(children.look, worker),
            "acknowledgements": Acknowledgements(worker).run_once,
            "going down": leaving.run_once,
            "kill": executioner.run_once,
            "taint": taint.run_once,
            "retention": Retention(store).run_once,
            "history": Trimming(store).run_once,
        }
        if jobs.definitions.archive:
            duties["archive"] = partial(jobs.definitions.archive.run_once, store)
        if settings.beat_in_worker:
            from jobkit.ext.beat import BeatOf

            duties["beat"] = BeatOf(jobs).run_once
        # Alone in its thread: whatever a duty has to wait for, the worker is alive.
        often = min(settings.keeper_interval, settings.renew / 2)
        self.beating = Loop({"heartbeat": self.heart.run_once}, often, "jobkit-heart")
        if settings.priorities:
            duties["ageing"] = Ageing(store, settings.ageing, jobs.ranking.rewrite).run_once
        self.loop = Loop(duties, settings.keeper_interval, idle=partial(looking.idle, store))
        leaving.hurry = self.loop.hurry
        leaving.listen()
        for thread in (self.beating, self.loop, self.listener):
            thread.start()
        _outlive_a_full_broker(worker.app)
        signals.task_unknown.connect(partial(lost.unknown, jobs), weak=False)
        signals.task_rejected.connect(partial(lost.rejected, jobs), weak=False)
        # Celery stops its steps before it drains the pool; the lease has to outlive the last running task.
        signals.worker_shutdown.connect(self.goodbye, weak=False)
        atexit.register(self.goodbye)

    def goodbye(self, **_: Any) -> None:
        """The last task is done, or the process ends: give the lease back, so that what it holds is taken over."""
        loop, self.loop = self.loop, None
        if loop is None or os.getpid() != self.pid:
            return
        loop.stop()
        self.beating.stop()
        self.listener.stop()
        try:
            self.heart.goodbye()
        except StoreError as exc:
            log.warning("the lease could not be given back, it runs out by itself: %s", exc)

    def stop(self, worker: Any) -> None:
        """A warm shutdown: its consumer takes no more messages, its pool has yet to come to its end."""
        if self.leaving:
            self.leaving.has_closed()

    def terminate(self, worker: Any) -> None:
        """Nothing: in a cold shutdown nobody is left to be told."""


def _outlive_a_full_broker(app: Celery) -> None:
    """A Redis broker that is full, read-only or without a disk passes, like one that is away: Celery would exit."""
    unsaid = not any("broker_channel_error_retry" in level for level in app.conf.maps[:-1])
    if unsaid and app.connection_for_read().transport.driver_type == "redis":
        app.conf.broker_channel_error_retry = True

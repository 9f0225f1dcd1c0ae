"""The app the faults are done to: bodies that write what really happened to a file, and every way a job can go on."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.utils.objects import cached_property

from jobkit import Backoff, Ending, Fenced, JobKit, Policy, StoreError
from jobkit.store import JobStore
from jobkit.store.scripts import Scripts
from tests import brokers
from tests.chaos.evidence import END, GONE, HOOK, REFUSED, SAVED, START, STARTED, UNANSWERED, Evidence

#: The variable that tells a worker what its app is made of, as JSON.
CONFIG = "CHAOS"
#: Times that suit a test: a worker is dead after two seconds.
QUICK: dict[str, Any] = {
    "jobkit_lease": 2.0,
    "jobkit_renew": 0.5,
    "jobkit_keeper_interval": 0.2,
    "jobkit_retention": 3600.0,
    "jobkit_retention_jobs": 0,  # the judge wants to see every job
    "worker_prefetch_multiplier": 1,
    "broker_connection_retry_on_startup": True,
}
#: A policy that gives up late: what a storm does to a job is not the job's fault.
STUBBORN = Policy(grace=2.0, max_restarts=50, backoff=Backoff(first=0.1, factor=1.0))
#: Seconds between two looks of a body.
LOOK = 0.01


class Bodies:
    """What the bodies of the tasks below share."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence

    @contextmanager
    def body(self, task: Any) -> Iterator[Any]:
        """The body of a job, from its first to its last moment."""
        job, how = task.job, "returned"
        self.evidence.note(START, job.id, job.run)
        try:
            yield job
        except BaseException as exc:
            how = type(exc).__name__
            raise
        finally:
            self.evidence.note(END, job.id, job.run, how=how)

    def save(self, job: Any, value: int) -> None:
        """Save a checkpoint."""
        since = time.monotonic()
        try:
            job.checkpoint = value
        except (Fenced, StoreError) as exc:
            what = REFUSED if isinstance(exc, Fenced) else UNANSWERED
            self.evidence.note(what, job.id, job.run, since=since, value=value)
            raise
        self.evidence.note(SAVED, job.id, job.run, since=since, value=value)

    def goes(self) -> None:
        """This process is about to end."""
        self.evidence.note(GONE, child=os.getpid())

    def hook(self) -> Callable[[Any, Any, Ending], None]:
        """The `on_finished` of every task."""

        def told(task: Any, job: Any, ending: Ending) -> None:
            self.evidence.note(HOOK, job.id, ending.run, state=ending.state.value)
            if "-raises-" in job.id:
                raise RuntimeError("its hook raises")
            if "-hangs-" in job.id:
                rest(60)

        return told


def rest(seconds: float, over: Callable[[], bool] = lambda: False) -> None:
    """Pass time in small pieces."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not over():
        time.sleep(min(LOOK, left))


class Clocked(JobKit):
    """Its scripts are those of the test build, whose clock is a key."""

    @cached_property
    def store(self) -> JobStore:
        """The store, which has not been used yet."""
        return _clocked(JobKit.__dict__["store"].__get__(self, JobKit))

    def pulse(self) -> JobStore:
        """The same for the proof of life."""
        return _clocked(super().pulse())


def _clocked(store: JobStore) -> JobStore:
    store._scripts = Scripts(store.client, store.keys.base, test_clock=True)
    return store


def make(config: Mapping[str, Any]) -> Celery:
    """The app on this `broker`, with its records in this `store`, its evidence in this file, and these settings."""
    app = Celery("chaos", broker=config["broker"], backend=config["store"], set_as_current=False)
    app.conf.update({**QUICK, **brokers.options(), **config.get("conf", {})})
    (Clocked if config.get("test_clock") else JobKit)(app)
    bodies = Bodies(Evidence(Path(config["evidence"])))
    task = partial(app.task, bind=True, shared=False, on_finished=bodies.hook())
    for define in (_works, _goes_on, _dies, _deaf):
        define(bodies, task)
    return app


def _works(bodies: Bodies, task: Any) -> None:
    @task(name="plain", policy=STUBBORN)
    def plain(self: Any, seconds: float) -> int:
        """Looks at nothing, and ends by itself."""
        with bodies.body(self) as job:
            rest(seconds)
            return int(job.run)

    @task(name="looks", policy=STUBBORN)
    def looks(self: Any, seconds: float) -> int:
        """Ends when it is told to."""
        with bodies.body(self) as job:
            rest(seconds, lambda: job.should_finish)
            job.raise_if_should_finish()
            return int(job.run)

    @task(name="limited", policy=Policy(max_run_time=1.0, grace=10.0, max_restarts=0))
    def limited(self: Any, seconds: float) -> int:
        """Ends when it is told to, and is told so after a second."""
        with bodies.body(self) as job:
            rest(seconds, lambda: job.should_finish)
            job.raise_if_should_finish()
            return int(job.run)

    @task(name="bounded", policy=Policy(max_run_time=60.0, max_restarts=0))
    def bounded(self: Any, seconds: float) -> int:
        """Has a minute, by whatever clock."""
        with bodies.body(self) as job:
            rest(seconds, lambda: job.should_finish)
            job.raise_if_should_finish()
            return int(job.run)

    @task(name="once")
    def once(self: Any, seconds: float) -> int:
        """No policy, acknowledged early: at most once."""
        with bodies.body(self) as job:
            rest(seconds)
            return int(job.run)

    @task(name="late", acks_late=True)
    def late(self: Any, seconds: float) -> int:
        """No policy, acknowledged late: may run twice."""
        with bodies.body(self) as job:
            rest(seconds)
            return int(job.run)

    def lingers(self: Any, seconds: float) -> int:
        """Its first run looks at nothing for that long; what follows it is short."""
        with bodies.body(self) as job:
            rest(seconds if job.run == 1 else 0.1)
            return int(job.run)

    task(name="lingers", policy=STUBBORN)(lingers)
    task(name="late lingers", acks_late=True)(lingers)


def _goes_on(bodies: Bodies, task: Any) -> None:
    @task(name="steps", policy=STUBBORN)
    def steps(self: Any, number: int, seconds: float) -> int:
        """Saves a checkpoint after each step, goes on after the last one saved, ends when it is told to."""
        with bodies.body(self) as job:
            for step in range(int(job.checkpoint or 0), number):
                job.raise_if_should_finish()
                rest(seconds)
                bodies.save(job, step + 1)
            return int(job.run)

    @task(name="fails", policy=STUBBORN)
    def fails(self: Any, times: int, seconds: float) -> int:
        """Fails so many times, and is run again by its policy."""
        with bodies.body(self) as job:
            rest(seconds)
            if (done := int(job.checkpoint or 0)) < times:
                bodies.save(job, done + 1)
                raise ValueError(f"failure {done + 1}")
            return int(job.run)

    @task(name="retries", policy=STUBBORN, max_retries=None)
    def retries(self: Any, times: int, seconds: float) -> int:
        """Asks so many times to be tried again."""
        with bodies.body(self) as job:
            rest(seconds)
            if (done := int(job.checkpoint or 0)) < times:
                bodies.save(job, done + 1)
                raise self.retry(countdown=0.1)
            return int(job.run)


def _dies(bodies: Bodies, task: Any) -> None:
    @task(name="murders", policy=Policy(max_restarts=3))
    def murders(self: Any) -> None:
        """Kills the whole worker it runs in, each time."""
        with bodies.body(self):
            os.killpg(os.getpgrp(), signal.SIGKILL)
            time.sleep(60)

    @task(name="dies", policy=Policy(max_restarts=0))
    def dies(self: Any, how: str) -> Any:
        """Ends its process, or tries to, in one of many ways."""
        with bodies.body(self):
            if how in SUDDEN:
                bodies.goes()
            return DEATHS[how]()

    @task(name="fatal", policy=Policy(max_restarts=3))
    def fatal(self: Any) -> None:
        """Is killed by the system each time, as for want of memory."""
        with bodies.body(self):
            bodies.goes()
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)


def _deaf(bodies: Bodies, task: Any) -> None:
    @task(name="hogs", policy=STUBBORN)
    def hogs(self: Any, seconds: float) -> int:
        """Lets no other thread of its process run."""
        with bodies.body(self) as job:
            ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))  # a PyDLL keeps the interpreter's lock
            return int(job.run)

    @task(name="hangs", policy=Policy(grace=1.0))
    def hangs(self: Any, seconds: float, starts: bool = False) -> int:
        """Hears nothing, ignores every signal it can, and may have started a process."""
        with bodies.body(self) as job:
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
            if starts:
                bodies.evidence.note(STARTED, job.id, job.run, process=subprocess.Popen(["sleep", "600"]).pid)
            rest(seconds)
            return int(job.run)


class Sour:
    """Raises when it goes."""

    def __del__(self) -> None:
        raise RuntimeError("sour")


def _raises_when_it_goes() -> str:
    Sour()
    return "done"


def _crashes() -> None:
    ctypes.string_at(0)


def _eats_memory() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
    return len(bytearray(1 << 34))


#: How `dies` ends.
DEATHS: dict[str, Callable[[], Any]] = {
    "leaves": lambda: os._exit(0),
    "crashes": _crashes,
    "exits": lambda: sys.exit(3),
    "raises when it goes": _raises_when_it_goes,
    "cannot be written": lambda: object(),
    "is too large": _eats_memory,
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
}
#: Those that nobody in the process can do anything about.
SUDDEN = ("leaves", "crashes", "is killed")

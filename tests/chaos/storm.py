"""The storm: jobs of every kind, workers that die, freeze and leave every second, a Redis that is killed under them."""

from __future__ import annotations

import math
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobkit import StoreError
from jobkit.states import State
from tests.chaos import evidence as words
from tests.chaos.figures import Row, table
from tests.chaos.oracle import Case, Finding
from tests.chaos.stage import Stage, Worker, staged

#: Seconds after SIGTERM until SIGKILL, as Kubernetes has it here.
PATIENCE = 5.0
#: The part of the time in which jobs are submitted; the rest is for their ends.
WINDY = 0.85


@dataclass(frozen=True)
class Weather:
    """How much, how long, how bad.

    `jobs` of every kind; `workers` with `slots` each; one of the `faults` (kill, freeze, term) `every` so many seconds;
    `restarts` of Redis; `lease` of the workers; `seconds` until it is given up; `seed`, which decides what happens to
    whom, though not when it does.
    """

    jobs: int = 5000
    workers: int = 3
    slots: int = 2
    every: float = 1.0
    restarts: int = 2
    lease: float = 2.0
    seconds: float = 900.0
    seed: int = 0
    faults: tuple[str, ...] = ("kill", "kill", "freeze", "term")


@dataclass
class Result:
    """What was found, and the figures."""

    findings: list[Finding]
    rows: list[Row]
    seconds: float
    faults: dict[str, int]
    case: Case


class Storm:
    """One run."""

    def __init__(self, stage: Stage, weather: Weather, report: Callable[[str], None] = lambda text: None) -> None:
        self.stage, self.weather, self.report = stage, weather, report
        self.random = random.Random(weather.seed)
        self.began = time.monotonic()
        self.crew: list[Worker] = []
        self.thaws: dict[Worker, float] = {}
        self.kills: dict[Worker, float] = {}
        self.faults: dict[str, int] = {}
        self.submitted = 0
        self.failure: Exception | None = None

    def run(self) -> Result:
        """Submit, hurt, wait until all has ended, judge."""
        for _ in range(self.weather.workers):
            self.replace(None)
        clients = threading.Thread(target=self.submit_all, daemon=True)
        clients.start()
        restarts = [self.weather.jobs * (n + 1) // (self.weather.restarts + 1) for n in range(self.weather.restarts)]
        hurt = time.monotonic() + 1
        while clients.is_alive() and self.in_time():
            self.look_after()
            if restarts and self.submitted >= restarts[0]:
                restarts.pop(0)
                self.restart_store()
            if time.monotonic() >= hurt:
                hurt += self.weather.every
                self.do_harm()
            time.sleep(0.02)
        self.calm()
        clients.join(5)
        if self.failure:
            raise self.failure
        findings = self.stage.judge(max(1.0, self.left()))
        case = self.stage.judged
        seconds = time.monotonic() - self.began
        more = [("seconds", f"{seconds:.0f}", ""), ("seed", str(self.weather.seed), "")]
        return Result(findings, table(case, findings, self.weather.lease, more), seconds, self.faults, case)

    def calm(self) -> None:
        """No more faults: everybody works again, until every job has ended."""
        for worker in list(self.thaws):
            self.thaws[worker] = 0
        while self.in_time():
            self.look_after()
            if not self.thaws and self.stage.live() == 0:
                return
            time.sleep(0.1)

    # -- clients -------------------------------------------------------------------------------------------------

    def submit_all(self) -> None:
        """Submit every job, never many more than there are slots: what is measured is the rescue, not the queue."""
        chance = random.Random(self.weather.seed + 1)
        try:
            while self.submitted < self.weather.jobs and self.left() > (1 - WINDY) * self.weather.seconds:
                if self.waiting() > 2 * self.weather.workers * self.weather.slots:
                    time.sleep(0.02)
                elif self.submit_one(chance, self.submitted):
                    self.submitted += 1
                    self.progress()
        except Exception as exc:
            self.failure = exc

    def waiting(self) -> float:
        """Jobs that wait for a slot; without end while nobody can say."""
        try:
            return self.stage.jobs.counts().get(State.QUEUED, 0)
        except StoreError:
            return math.inf

    def submit_one(self, chance: random.Random, number: int) -> Any:
        """One of every kind, in turn."""
        kinds: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...] = (
            ("plain", (chance.uniform(0.02, 0.6),), {}),
            ("steps", (10, chance.uniform(0.005, 0.06)), {}),
            ("plain", (chance.uniform(0.02, 0.3),), {"countdown": chance.uniform(0.2, 5)}),
            ("fails", (chance.randint(1, 2), 0.1), {}),
            ("looks", (chance.uniform(0.02, 1.0),), {}),
            ("retries", (chance.randint(1, 2), 0.1), {}),
            ("late", (chance.uniform(0.02, 0.3),), {}),
            ("once", (chance.uniform(0.02, 0.2),), {}),
        )
        task, args, options = kinds[number % len(kinds)]
        return self.stage.submit(task, *args, **options)

    # -- faults --------------------------------------------------------------------------------------------------

    def do_harm(self) -> None:
        """One fault, to one worker."""
        awake = [worker for worker in self.crew if worker not in self.thaws and worker not in self.kills]
        if not awake or not self.weather.faults:
            return
        worker, fault = self.random.choice(awake), self.random.choice(self.weather.faults)
        self.faults[fault] = self.faults.get(fault, 0) + 1
        if fault == "kill":
            worker.kill_all()
        elif fault == "freeze":
            worker.freeze()
            self.thaws[worker] = time.monotonic() + self.weather.lease * 1.5
        else:
            worker.tell()
            self.kills[worker] = time.monotonic() + PATIENCE

    def look_after(self) -> None:
        """Thaw, end and replace who is due, as a supervisor does."""
        now = time.monotonic()
        for worker in [worker for worker, at in self.thaws.items() if at <= now]:
            del self.thaws[worker]
            worker.thaw()
        for worker in [worker for worker, at in self.kills.items() if at <= now or worker.ended()]:
            del self.kills[worker]
            if not worker.ended():
                worker.kill_all()
        for worker in list(self.crew):
            if worker.ended():
                self.replace(worker)

    def replace(self, worker: Worker | None) -> None:
        """Start another one in its place."""
        if worker:
            self.crew.remove(worker)
        self.crew.append(self.stage.start(concurrency=self.weather.slots, wait=False))

    def restart_store(self) -> None:
        """Kill the Redis, and start it again a moment later."""
        self.stage.evidence.note(words.STORE_DOWN)
        self.stage.server.kill()
        time.sleep(0.5)
        self.stage.server.restart()
        self.stage.evidence.note(words.STORE_UP)

    # -- time ----------------------------------------------------------------------------------------------------

    def left(self) -> float:
        """Seconds until it is given up."""
        return self.began + self.weather.seconds - time.monotonic()

    def in_time(self) -> bool:
        """Is there time left?"""
        return self.left() > 0

    def progress(self) -> None:
        """Say how far it has come."""
        done = self.submitted / self.weather.jobs
        self.report(f"{'█' * int(30 * done):<30} {self.submitted:>6} of {self.weather.jobs}  {self.faults}")


def blow(folder: Path, weather: Weather, report: Callable[[str], None] = lambda text: None) -> Result:
    """Run a storm on a stage of its own in this folder."""
    renew = weather.lease / 4
    with staged(folder, {"jobkit_lease": weather.lease, "jobkit_renew": renew}) as stage:
        return Storm(stage, weather, report).run()


def bar(text: str) -> None:
    """A line of progress, where there is a terminal."""
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)

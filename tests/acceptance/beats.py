"""Beats and workers that are killed and frozen while definitions fire; what came of every slot.

As a program: ``python -m tests.acceptance.beats 120`` for two minutes of it, with the figures.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from jobkit import schedule
from jobkit.embedded import EmbeddedRedis
from jobkit.errors import DefinitionConflict
from jobkit.testing import WorkerProcess, eventually
from tests.acceptance.apps import ROOT, imported

APP = "tests.acceptance.beats_app"
BEAT = ("beat", "-S", "jobkit.ext.beat:Scheduler", "--pidfile=", "--loglevel=INFO")
WORKER = ("worker", "--pool=threads", "--concurrency=4", "--without-mingle", "--without-gossip", "--loglevel=INFO")
#: Seconds a frozen process sleeps.
FROZEN = 4.0


class Process:
    """One beat or worker, that can be killed, replaced and frozen."""

    def __init__(self, stage: Stage, number: int, *words: str) -> None:
        self.stage, self.words, self.number, self.starts = stage, words, number, 0
        self.process = self.start()

    def start(self) -> WorkerProcess:
        """Begin anew."""
        self.starts += 1
        name = f"{self.words[0]}-{self.number}-{self.starts}"
        own = ["--hostname", f"{name}@%h"] if self.words[0] == "worker" else []
        command = [sys.executable, "-m", "celery", "-A", APP, *self.words, *own]
        self.process = WorkerProcess(command, self.stage.environment, ROOT, self.stage.folder / f"{name}.log")
        return self.process

    def kill(self) -> None:
        """As the system does when memory runs out; another takes its place at once."""
        self.process.kill()
        self.start()

    def freeze(self) -> None:
        """Stop it for a while, as a hypervisor does."""
        process = self.process
        os.kill(process.pid, signal.SIGSTOP)

        def thaw() -> None:
            if process.alive:
                os.kill(process.pid, signal.SIGCONT)

        threading.Timer(FROZEN, thaw).start()

    def stop(self) -> None:
        """End it for good."""
        self.process.clean_up()


@dataclass
class Stage:
    """A private Redis, and the app in this process."""

    folder: Path
    environment: dict[str, str]
    m: Any = None
    processes: list[Process] = field(default_factory=list)

    def start(self, *words: str) -> Process:
        """One more beat or worker."""
        self.processes.append(Process(self, len(self.processes), *words))
        return self.processes[-1]

    @property
    def fired(self) -> Counter[str]:
        """How often the body ran, by job."""
        return Counter(line.decode().split()[0] for line in self.m.book.lrange("fired", 0, -1))


@contextmanager
def stage(url: str, folder: Path, **environment: str) -> Iterator[Stage]:
    """The app on this Redis; what it started ends with it."""
    made = Stage(folder, {"BEATS_REDIS": url, **environment})
    with imported(APP, made.environment) as made.m:
        try:
            yield made
        finally:
            for process in made.processes:
                process.stop()
            made.m.book.close()


@dataclass
class Report:
    """What came of the slots there were to be."""

    slots: int
    lost: set[str]
    doubled: set[str]
    strange: set[str]
    unrun: set[str]
    lateness: list[float]
    struck: Counter[str]
    edits: int

    def __str__(self) -> str:
        late = sorted(self.lateness)
        middle, most = late[len(late) // 2], late[len(late) * 99 // 100]
        return (
            f"{self.slots} slots: {len(self.lost)} lost, {len(self.doubled)} fired twice, "
            f"{len(self.strange)} unforeseen, {len(self.unrun)} not run; "
            f"late: median {middle:.2f} s, p99 {most:.2f} s, at most {late[-1]:.2f} s; "
            f"{dict(self.struck)}, {self.edits} live edits"
        )


def storm(stage: Stage, seconds: float, definitions: int = 50, seed: int = 1) -> Report:
    """Three beats and two workers under fire, `definitions` of them firing every 1 to 5 seconds; none of it is lost."""
    chance, jobs = random.Random(seed), stage.m.jobs
    beats = [stage.start(*BEAT) for _ in range(3)]
    workers = [stage.start(*WORKER) for _ in range(2)]
    for worker in workers:
        worker.process.wait_ready()
    begin = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=2)
    end = begin + timedelta(seconds=seconds)
    for n in range(definitions):
        when = schedule(1 + n % 5, start=begin, end=end)
        jobs.definitions.create(
            f"d{n}", task="tests.acceptance.beats_app.fire", schedule=when, overlap="ALLOW", grace=300
        )
    wanted = {
        f"@d{n}~{round(slot.timestamp() * 1000)}"
        for n in range(definitions)
        for slot in schedule(1 + n % 5, start=begin, end=end).slots(begin - timedelta(seconds=1))
    }
    struck: Counter[str] = Counter()
    edits = 0
    while datetime.now(timezone.utc) < end:
        for group in (beats, workers):
            victim, how = chance.choice(group), chance.choice(["kill", "freeze"])
            getattr(victim, how)()
            struck[f"{victim.words[0]}s hit by {how}"] += 1
        for _ in range(5):  # a hundred edits a minute
            time.sleep(0.6)
            edits += _edit(jobs, f"d{chance.randrange(definitions)}", edits)
    eventually(lambda: not any(one.status.next_at for one in jobs.definitions.query()), 60, "slots are left over")
    eventually(lambda: stage.fired.keys() >= wanted, 90, "not every slot has run")
    return _report(jobs, wanted, stage.fired, struck, edits)


def _edit(jobs: Any, name: str, number: int) -> bool:
    try:
        jobs.definitions.update(replace(jobs.definitions.get(name), name=f"edit {number}"))
    except DefinitionConflict:
        return False
    return True


def _report(jobs: Any, wanted: set[str], ran: Counter[str], struck: Counter[str], edits: int) -> Report:
    births: Counter[str] = Counter()
    lateness = []
    for job in wanted | ran.keys():
        path = jobs.history(job)
        births[job] = sum(1 for step in path if step.source is None and step.reason.startswith("schedule"))
        lateness.append(path[0].at.timestamp() - int(job.partition("~")[2]) / 1000)
    doubled = {job for job, times in births.items() if times > 1}
    lost = {job for job in wanted if not births[job]}
    return Report(len(wanted), lost, doubled, ran.keys() - wanted, wanted - ran.keys(), lateness, struck, edits)


def main(seconds: float) -> None:
    """The storm, by itself."""
    with ExitStack() as closing:
        folder = Path(tempfile.mkdtemp(prefix="jobkit-beats-"))  # the logs stay
        server = closing.enter_context(EmbeddedRedis())
        print(storm(closing.enter_context(stage(server.url, folder)), seconds))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 120)

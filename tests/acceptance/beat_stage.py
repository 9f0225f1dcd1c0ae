"""An app with definitions on a private Redis, and beats and workers that can be killed, replaced and frozen."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobkit.testing import WorkerProcess
from tests.acceptance.apps import ROOT, imported

APP = "tests.acceptance.beats_app"
BEAT = ("beat", "-S", "jobkit.ext.beat:Scheduler", "--pidfile=", "--loglevel=INFO")
WORKER = ("worker", "--pool=threads", "--concurrency=4", "--without-mingle", "--without-gossip", "--loglevel=INFO")


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

    def freeze(self, seconds: float) -> None:
        """Stop it for a while, as a hypervisor does."""
        process = self.process
        os.kill(process.pid, signal.SIGSTOP)

        def thaw() -> None:
            if process.alive:
                os.kill(process.pid, signal.SIGCONT)

        timer = threading.Timer(seconds, thaw)
        timer.daemon = True
        timer.start()

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

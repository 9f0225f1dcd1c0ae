"""Beats and workers that are killed and frozen while definitions fire; what came of every slot.

As a program, with the figures: ``python -m tests.acceptance.beats 120`` for two minutes of it (480: 11,000 slots), or
``… 150 --frozen 60 --every 70 --only beats --how freeze`` for beats that sleep for a minute each.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from jobkit import schedule
from jobkit.embedded import EmbeddedRedis
from jobkit.errors import DefinitionConflict
from jobkit.testing import eventually
from tests.acceptance.beat_stage import BEAT, WORKER, Stage, stage


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


@dataclass(frozen=True)
class Fire:
    """What is done to beats and workers: what to which of them, every so many seconds; for how long one is frozen."""

    every: float = 3.0
    how: Sequence[str] = ("kill", "freeze")
    only: Sequence[str] = ("beats", "workers")
    frozen: float = 4.0


def storm(stage: Stage, seconds: float, definitions: int = 50, seed: int = 1, fire: Fire = Fire()) -> Report:
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
        for name in fire.only:
            victim, how = chance.choice({"beats": beats, "workers": workers}[name]), chance.choice(fire.how)
            victim.kill() if how == "kill" else victim.freeze(fire.frozen)
            struck[f"{name} hit by {how}"] += 1
        for _ in range(round(fire.every / 0.6)):  # a hundred edits a minute
            time.sleep(0.6)
            edits += _edit(jobs, f"d{chance.randrange(definitions)}", edits)
    eventually(
        lambda: not any(one.status.next_at for one in jobs.definitions.query()), fire.frozen + 60, "slots are left over"
    )
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


def main() -> None:
    """The storm, by itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.beats", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=120)
    parser.add_argument("--definitions", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=Fire.every, help="seconds between two strikes")
    parser.add_argument("--frozen", type=float, default=Fire.frozen, help="seconds one sleeps that is frozen")
    parser.add_argument("--how", nargs="+", choices=Fire.how, default=Fire.how)
    parser.add_argument("--only", nargs="+", choices=Fire.only, default=Fire.only)
    given = parser.parse_args()
    with ExitStack() as closing:
        folder = Path(tempfile.mkdtemp(prefix="jobkit-beats-"))  # the logs stay
        server = closing.enter_context(EmbeddedRedis())
        opened = closing.enter_context(stage(server.url, folder))
        fire = Fire(given.every, given.how, given.only, given.frozen)
        print(storm(opened, given.seconds, given.definitions, given.seed, fire))


if __name__ == "__main__":
    main()

"""``python -m tests.chaos.rollout``: rolling deploys under load (P7); prints its figures, each beside its goal."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobkit.states import State
from jobkit.testing import eventually
from tests.chaos.evidence import SAVED
from tests.chaos.figures import Row, handovers, percentile, table, text
from tests.chaos.nursery import Nursery
from tests.chaos.oracle import Case, Finding
from tests.chaos.stage import ROOT, Stage, Worker, staged
from tests.chaos.storm import bar

#: How workers are told to go: the signal, whether SIGTERM means SIGQUIT to them, the part of the patience that is soft.
WAYS: dict[str, tuple[signal.Signals, bool, float]] = {
    "warm": (signal.SIGTERM, False, 0.0),
    "soft": (signal.SIGTERM, True, 0.6),
    "cold": (signal.SIGTERM, True, 0.0),
    "quit": (signal.SIGQUIT, False, 0.0),
}
#: What remaps it; Celery reads it when it is imported.
REMAP = {"REMAP_SIGTERM": "SIGQUIT"}
#: Seconds within which what looks goes on elsewhere.
GOAL = 3.0


@dataclass(frozen=True)
class Rollout:
    """How much: so many `deploys` of `workers` with `slots` each, while at least so many `jobs` come and go.

    The `way` they are told; the `pool`; `patience`, seconds until what has not gone is killed; `prefetch`, 0 where a
    worker whose slots are full takes no message: with Celery's default one may, and what it took waits for a slot.
    """

    jobs: int = 1000
    deploys: int = 10
    workers: int = 3
    slots: int = 4
    way: str = "warm"
    pool: str = "prefork"
    patience: float = 5.0
    prefetch: int = 1
    seed: int = 0


class Load:
    """Clients that submit until they are told to stop; never so many at once that a job would have to wait."""

    def __init__(self, stage: Stage, rollout: Rollout) -> None:
        self._stage, self._rollout = stage, rollout
        self.over, self.submitted = threading.Event(), 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        chance, room = random.Random(self._rollout.seed), 2 * self._rollout.workers * self._rollout.slots // 3
        while not self.over.is_set() or self.submitted < self._rollout.jobs:
            if self._stage.live() >= room:
                time.sleep(0.02)
                continue
            task, args, options = _kind(chance, self.submitted, self._rollout.patience)
            self._stage.submit(task, *args, **options)
            self.submitted += 1

    def end(self) -> None:
        """No more."""
        self.over.set()
        self._thread.join()


def _kind(chance: random.Random, number: int, patience: float) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    some, long = chance.uniform(0.02, 0.3), chance.uniform(0.1, 1.5 * patience)
    kinds: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...] = (
        ("steps", (20, long / 20), {}),
        ("lingers", (long,), {}),
        ("looks", (long,), {}),
        ("plain", (some,), {}),
        ("steps", (40, long / 20), {}),
        ("fails", (1, some), {}),
        ("late lingers", (long,), {}),
        ("late", (some,), {}),
        ("looks", (2 * long,), {}),
        ("retries", (1, some), {}),
        ("once", (some,), {}),
        ("plain", (some,), {"countdown": 1 + some}),
    )
    return kinds[number % len(kinds)]


def roll(stage: Stage, rollout: Rollout, report: Any = lambda text: None) -> tuple[list[Finding], list[Row]]:
    """Replace every worker, one after the other, as often as asked; returns what was found wrong, and the figures."""
    crew = [stage.start(rollout.pool, rollout.slots) for _ in range(rollout.workers)]
    load = Load(stage, rollout)
    for n in range(rollout.deploys):
        for old in crew[:]:
            crew.append(stage.start(rollout.pool, rollout.slots))
            replace(old, WAYS[rollout.way][0], rollout.patience)
            crew.remove(old)
            report(f"deploy {n + 1} of {rollout.deploys}, {load.submitted} jobs")
    load.end()
    findings = stage.judge(60)
    findings += [Finding("errors_are_not_spent", job, told) for job, told in _spent(stage.judged)]
    findings += [Finding("no_step_is_done_twice", job, told) for job, told in repeated(stage.judged)]
    late = percentile(handovers(stage.judged), 0.99)
    rows = table(stage.judged, findings, stage.jobs.settings.lease)
    return findings, [*rows, ("handed over in time", "no" if late > GOAL else "yes", "yes")]


def replace(old: Worker, number: signal.Signals, patience: float) -> None:
    """Tell a worker to go; kill it when it has not gone in time."""
    old.tell(number)
    try:
        eventually(old.ended, patience)
    except AssertionError:
        old.kill_all()


def _spent(case: Case) -> Iterator[tuple[str, str]]:
    for job, record in case.records.items():
        ends = Counter(run.state for run in record.runs)
        errors, mine = ends[State.ERROR_RETRY] + ends[State.TIMEOUT_RETRY], job.startswith(("fails", "retries"))
        if errors > mine:
            yield job, f"{errors} times an error, it made {int(mine)}"


def repeated(case: Case) -> Iterator[tuple[str, str]]:
    """Each step that was done and saved once more."""
    done: dict[str, int] = {}
    for line in case.of(SAVED):
        if line.more["value"] <= done.get(line.job, 0):
            yield line.job, f"step {line.more['value']} in run {line.run}, after step {done[line.job]}"
        done[line.job] = line.more["value"]


def deploy(folder: Path, rollout: Rollout, report: Any = lambda text: None) -> tuple[list[Finding], list[Row]]:
    """Do it on a stage of its own in this folder."""
    _, remap, soft = WAYS[rollout.way]
    nursery = Nursery(ROOT, REMAP if remap else None)
    try:
        conf = {
            "worker_soft_shutdown_timeout": soft * rollout.patience,
            "worker_disable_prefetch": not rollout.prefetch,
        }
        with staged(folder, conf, nursery=nursery) as stage:
            return roll(stage, rollout, report)
    finally:
        nursery.close()


def main() -> int:
    """Run it; 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.rollout", description=__doc__)
    parser.add_argument("--way", choices=WAYS, default="warm")
    parser.add_argument("--pool", choices=("prefork", "threads"), default="prefork")
    for name in ("jobs", "deploys", "workers", "slots", "prefetch", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Rollout, name), help="default %(default)s")
    parser.add_argument("--patience", type=float, default=Rollout.patience, help="seconds, default %(default)s")
    folder = Path(tempfile.mkdtemp(prefix="jobkit-rollout-"))
    findings, rows = deploy(folder, Rollout(**vars(parser.parse_args())), bar)
    bar("")
    print(text(rows))
    for finding in findings[:50]:
        print(f"{finding.rule}: {finding.job}: {finding.text}")
    print(f"evidence and logs: {folder}")
    return int(bool(findings) or rows[-1][1] != "yes")


if __name__ == "__main__":
    sys.exit(main())

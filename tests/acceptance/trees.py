"""A tree of jobs that is aborted at its root, while some run, some wait for their children and most have not begun.

As a program, with the figures: ``python -m tests.acceptance.trees --widths 9 110`` for a thousand nodes (``9 10``: a
hundred); ``--kill`` kills a worker meanwhile; ``--defaults`` has leases of ten seconds, not of two.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobkit import State
from jobkit.embedded import EmbeddedRedis
from jobkit.store.orphans import orphans
from jobkit.testing import WorkerProcess, eventually

HERE = Path(__file__).parent


@dataclass
class Report:
    """How many there were, how many had begun, how long it took; how many began after the root was told."""

    nodes: int
    begun: int
    seconds: float
    started_after: int
    twice: int

    def __str__(self) -> str:
        return (
            f"{self.nodes:,} nodes, {self.begun} had begun: all ended {self.seconds:.1f} s after the root was told; "
            f"{self.started_after} began after that; each of {2 * self.begun} compensations done, {self.twice} twice"
        )


def uproot(m: Any, notes: Path, widths: list[int], kill: WorkerProcess | None = None) -> Report:
    """Grow it, abort it, and judge what came of it."""
    count = 1 + widths[0] + widths[0] * widths[1]
    root = m.jobs.submit(m.spreads.s(widths, 300), locks=["tree"])
    eventually(lambda: len(lines(notes, "body")) > 1 + widths[0], 120, "no leaf runs")
    eventually(lambda: _live(m) == count, 120, lambda: str(m.jobs.counts()))
    began = time.monotonic()
    root.abort("not wanted")
    told = m.jobs.history(root.id)[-1].at
    if kill:
        kill.kill()
    eventually(lambda: root.job.state is State.CANCELLED, 120, lambda: str(m.jobs.counts()))
    seconds = time.monotonic() - began
    tree = [one.job for _, one in m.jobs.tree(root.id).walk()]
    assert not [job for job in tree if job.is_live]
    assert not [job for job in tree if job.started_at and job.started_at > root.job.ended_at]
    nodes = [job for job in tree if job.task.endswith("spreads")]
    begun = [line[0] for line in lines(notes, "body")]
    done = [(line[0], line[1]) for line in lines(notes, "undone")]
    times = Counter(done)
    assert times.keys() == {(node, step) for node in begun for step in ("1", "2")}
    assert all(done.index((node, "2")) < done.index((node, "1")) for node in begun), "not newest first"
    assert m.jobs.locks() == ()
    assert orphans(m.jobs.store)[1] == {}
    late = sum(bool(job.started_at and job.started_at > told) for job in nodes)
    return Report(len(nodes), len(begun), seconds, late, sum(number > 1 for number in times.values()))


def _live(m: Any) -> int:
    return sum(number for state, number in m.jobs.counts().items() if state.is_live)


def lines(notes: Path, word: str) -> list[list[str]]:
    """What was noted under this word."""
    return [line.split()[1:] for line in notes.read_text().splitlines() if line.split()[0] == word]


@contextmanager
def staged(url: str, folder: Path) -> Iterator[tuple[Any, Path, Callable[..., WorkerProcess]]]:
    """The app of `lifecycle_app` on this Redis: its module, where its tasks write, and what starts a worker of it."""
    notes = folder / "notes"
    notes.touch()
    os.environ |= {"JOBKIT_TEST_URL": url, "JOBKIT_TEST_NOTES": str(notes)}
    sys.path.insert(0, str(HERE))
    m: Any = importlib.import_module("lifecycle_app")
    workers: list[WorkerProcess] = []

    def start(concurrency: int = 4) -> WorkerProcess:
        name = f"w{len(workers)}"
        quick = (
            "--without-mingle",
            "--without-gossip",
            f"--concurrency={concurrency}",
            f"--hostname={name}@%h",
            "-lINFO",
        )
        command = [sys.executable, "-m", "celery", "-A", "lifecycle_app", "worker", *quick]
        env = {"PYTHONPATH": f"{HERE}:{HERE.parents[1]}"}
        workers.append(WorkerProcess(command, env, HERE, folder / f"{name}.log"))
        return workers[-1]

    try:
        yield m, notes, start
    finally:
        for worker in workers:
            worker.clean_up()
        m.jobs.close()


def main() -> None:
    """One tree, two workers of four slots."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.trees", description=__doc__)
    parser.add_argument("--widths", nargs=2, type=int, default=[9, 10])
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--defaults", action="store_true")
    given = parser.parse_args()
    if given.defaults:
        os.environ["JOBKIT_TEST_DEFAULTS"] = "1"
    folder = Path(tempfile.mkdtemp(prefix="jobkit-trees-"))  # the logs stay
    with EmbeddedRedis() as server, staged(server.url, folder) as (m, notes, start):
        workers = [start() for _ in range(2)]
        for worker in workers:
            worker.wait_ready()
        print(uproot(m, notes, given.widths, workers[0] if given.kill else None))


if __name__ == "__main__":
    main()

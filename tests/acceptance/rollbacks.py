"""A job with compensations whose worker is killed with -9: in its body, and before and after each of them.

As a program, with the figures: ``python -m tests.acceptance.rollbacks --steps 10`` for twenty-one points, with
``--rounds 10`` for each of them ten times.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from jobkit import State
from jobkit.embedded import EmbeddedRedis
from jobkit.testing import WorkerProcess, eventually
from tests.acceptance.trees import lines, staged


def undo_all(m: Any, notes: Path, steps: int, point: int, keep_up: Callable[[], None]) -> tuple[float, int]:
    """One job, whose worker dies at this point; `keep_up` starts another worker for one that has died.

    Returns: seconds from its submission to its end, and how many compensations were done twice.
    """
    fails = steps // 2
    began = time.monotonic()
    handle = m.jobs.submit(m.breaks.s(steps, point, fails), locks=[f"lock-{point}"])

    def ended() -> bool:
        keep_up()
        return not handle.job.is_live

    eventually(ended, 60, lambda: f"point {point}: {handle.job}")
    took = time.monotonic() - began
    job = handle.job
    done = [int(step) for what, step in lines(notes, "undone") if what == handle.id]
    first = [step for n, step in enumerate(done) if step not in done[:n]]
    assert first == list(range(steps, 0, -1)), (point, done)
    assert job.state is (State.ABORTED if point == 0 else State.ERROR), (point, job)
    failed = [m.jobs.get(one).failure.message for one in job.failed_compensations]
    # One whose worker died after it was done may have been run again; it failed all the same.
    assert failed == [f"cannot undo {fails}"], (point, failed)
    ends = [child.job.ended_at for child in m.jobs.tree(handle.id).children if child.kind == "compensation"]
    assert max(ends) <= job.ended_at, point
    assert not [lock for lock in m.jobs.locks() if lock.name == f"lock-{point}"], point
    return took, len(done) - len(first)


def main() -> None:
    """Every point."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.rollbacks", description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="jobkit-rollbacks-"))  # the logs stay
    with ExitStack() as closing:
        server = closing.enter_context(EmbeddedRedis())
        m, notes, start = closing.enter_context(staged(server.url, folder))
        workers: list[WorkerProcess] = [start() for _ in range(2)]

        def keep_up() -> None:
            for n, worker in enumerate(workers):
                if not worker.alive:
                    workers[n] = start()

        took, twice = [], 0
        points = [point for _ in range(given.rounds) for point in range(2 * given.steps + 1)]
        for point in points:
            seconds, again = undo_all(m, notes, given.steps, point, keep_up)
            took.append(seconds)
            twice += again
        took.sort()
        print(
            f"{len(points)} kills at {2 * given.steps + 1} points: every compensation done, newest first, {twice} of "
            f"{len(points) * given.steps} twice; the end told after them, locks free; "
            f"{took[len(took) // 2]:.1f} s each (median), {took[-1]:.1f} s at most"
        )


if __name__ == "__main__":
    main()

"""A parent above three levels of children on one slot, whose worker is killed with -9 again and again.

As a program, with the figures: ``python -m tests.acceptance.parents --widths 5 9 --kills 5`` for fifty children.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobkit import State
from jobkit.embedded import EmbeddedRedis
from jobkit.states import Category
from jobkit.store.orphans import orphans
from jobkit.testing import WorkerProcess, eventually
from tests.acceptance.trees import lines, staged

_WAITING = tuple(state for state in State if state.category is Category.WAITING_FOR_CHILDREN)


@dataclass
class Report:
    """How many children there were, how many waited for theirs at once, how soon the parent ended after the last."""

    children: int
    kills: int
    lost: int
    waiting: int
    seconds: float
    told: int

    def __str__(self) -> str:
        return (
            f"{self.children} children on one slot, {self.kills} workers killed, {self.lost} runs lost and run again: "
            f"up to {self.waiting} parents waited at once and held no slot; the parent ended {self.seconds:.2f} s "
            f"after the last of them; {self.told} runs, each told of its end once"
        )


def gather(m: Any, notes: Path, widths: list[int], kills: int, start: Callable[[], WorkerProcess]) -> Report:
    """Grow it, kill a worker each time so many more have begun, and judge what came of it."""
    count, worker = widths[0] * (1 + widths[1]), start()
    root = m.jobs.submit(m.gathers.s(widths))
    waiting = 0
    for kill in range(1, kills + 1):
        begun = kill * count // (kills + 1)
        eventually(lambda begun=begun: len(lines(notes, "body")) > begun, 60)  # type: ignore[misc]
        waiting = max(waiting, _waiting(m))
        worker.kill()
        worker = start()
    eventually(lambda: not root.job.is_live, 120, lambda: str(m.jobs.counts()))
    tree = [one.job for _, one in m.jobs.tree(root.id).walk()]
    assert len(tree) == 1 + count
    assert {job.state for job in tree} == {State.FINISHED}
    eventually(lambda: not _untold(m, root, notes), 30, lambda: str(_untold(m, root, notes)))
    hooks = Counter((job_id, run) for job_id, run, *_ in lines(notes, "hook"))
    assert max(hooks.values()) == 1, hooks
    assert orphans(m.jobs.store)[1] == {}
    last = max(job.ended_at for job in tree[1:])
    seconds = (tree[0].ended_at - last).total_seconds()
    assert seconds >= 0
    return Report(count, kills, sum(job.run - 1 for job in tree), waiting, seconds, len(hooks))


def _untold(m: Any, root: Any, notes: Path) -> set[tuple[str, str]]:
    """The runs that were not told of their end, and will be; not those whose worker died while it told them."""
    tree = [m.jobs.get(one.job.id) for _, one in m.jobs.tree(root.id).walk()]
    over = {(job.id, str(run)) for job in tree for run in range(1, job.run + 1) if "hook_interrupted" not in job.extra}
    return over - {(job_id, run) for job_id, run, *_ in lines(notes, "hook")}


def _waiting(m: Any) -> int:
    """How many wait for their children: they are nobody's then, so no slot is held for them."""
    found = [job for job in m.jobs.query(state=_WAITING, limit=200).jobs if job.state in _WAITING]
    assert not any(job.worker for job in found), found
    return len(found)


def main() -> None:
    """One parent, one worker of one slot at a time."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.parents", description=__doc__)
    parser.add_argument("--widths", nargs=2, type=int, default=[5, 9])
    parser.add_argument("--kills", type=int, default=5)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="jobkit-parents-"))  # the logs stay
    with EmbeddedRedis() as server, staged(server.url, folder) as (m, notes, start):
        print(gather(m, notes, given.widths, given.kills, lambda: start(1)))


if __name__ == "__main__":
    main()

"""``python -m tests.chaos.lost``: how soon a message that the broker has lost is missed, and its job run (G12)."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from tests.chaos.cancels import DEFAULTS
from tests.chaos.evidence import START
from tests.chaos.figures import spread
from tests.chaos.stage import Stage, staged

#: Seconds until it runs, from the first moment at which anybody could know.
GOAL = 30.0


def emptied(stage: Stage, jobs: int) -> list[float]:
    """All messages of a queue are lost; seconds until each of their jobs was run."""
    handles = [stage.submit("plain", 0.01) for _ in range(jobs)]
    stage.broker.delete("celery")
    began = time.monotonic()
    for _ in range(2):
        stage.start(concurrency=4)
    return [line.at - began for line in stage.started(*handles, timeout=3 * GOAL)]


def overtaken(stage: Stage, jobs: int, seconds: float) -> list[float]:
    """Some messages of a full queue are lost; seconds from when the next job began until each of theirs did."""
    handles = [stage.submit("plain", seconds) for _ in range(10 * jobs)]
    order = [handle.id for handle in handles]
    doomed = set(random.Random(12).sample(order[: 5 * jobs], jobs))
    queued = {json.loads(raw)["headers"]["id"]: raw for raw in cast(Any, stage.broker.lrange("celery", 0, -1))}
    lost = [one for one in doomed & queued.keys() if stage.broker.lrem("celery", 1, queued[one])]
    stage.all_end(10 * GOAL)
    begun = {line.job: line.at for line in stage.evidence.lines(START)}
    return [begun[one] - min(begun[later] for later in order[order.index(one) + 1 :]) for one in lost]


def main() -> int:
    """Run it; 0 if the goal is met, and nothing was run twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.lost", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50, help="messages that are lost each time, default %(default)s")
    parser.add_argument("--seconds", type=float, default=0.4, help="of a job in the full queue, default %(default)s")
    options = parser.parse_args()
    with staged(Path(tempfile.mkdtemp(prefix="jobkit-lost-")), DEFAULTS) as stage:
        empty, full = emptied(stage, options.jobs), overtaken(stage, options.jobs, options.seconds)
        findings = stage.judge()
        said = sum(worker.log.count("is lost: it is published again") for worker in stage.workers)
    print(f"all messages lost to a start     {spread(empty)}  goal max <= {GOAL:g} s")
    print(f"overtaken to a start             {spread(full)}  goal max <= {GOAL:g} s")
    print(f"published again                  {said}  goal {len(empty) + len(full)}")
    print(f"findings                         {findings}  goal []")
    return int(bool(findings) or max(empty + full) > GOAL or said != len(empty) + len(full))


if __name__ == "__main__":
    sys.exit(main())

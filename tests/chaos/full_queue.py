"""``python -m tests.chaos.full_queue``: thousands of jobs wait in a queue for minutes, and none is published twice."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from jobkit.testing import eventually
from tests.brokers import kind, waiting
from tests.chaos.evidence import START
from tests.chaos.stage import Stage, staged


@dataclass(frozen=True)
class Wait:
    """Jobs that waited; of them: messages beyond one each, said to be lost, seen to start meanwhile, started twice."""

    jobs: int
    twice: int
    said: int
    begun: int
    started_twice: int


def wait(stage: Stage, jobs: int, seconds: float) -> Wait:
    """Have so many jobs wait for so long, while two workers do one after the other."""
    handles = [stage.submit("plain", seconds / 20) for _ in range(jobs)]
    workers = [stage.start(concurrency=1) for _ in range(2)]
    stage.started(handles[0])
    deadline, most = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        most = max(most, _beyond_one(stage))
        time.sleep(0.5)
    begun = len(stage.evidence.lines(START))
    for worker in workers:
        worker.tell()
    eventually(lambda: all(worker.ended() for worker in workers), 30)
    most = max(most, _beyond_one(stage))
    said = sum(worker.log.count("is lost: it is published again") for worker in workers)
    starts = Counter(line.job for line in stage.evidence.lines(START))
    return Wait(jobs, most, said, begun, sum(number > 1 for number in starts.values()))


def _beyond_one(stage: Stage) -> int:
    """Messages in the queue beyond the first of each job; on RabbitMQ those who look at them take them."""
    if kind() == "rabbitmq":
        return 0
    found = Counter(message["headers"]["id"] for message in waiting(stage.app))
    return sum(found.values()) - len(found)


def main() -> int:
    """Run it; 0 if none was published twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.full_queue", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=120.0, help="default %(default)s")
    options = parser.parse_args()
    with staged(Path(tempfile.mkdtemp(prefix="jobkit-queue-"))) as stage:
        found = wait(stage, options.jobs, options.seconds)
    print(f"{found.jobs} jobs waited {options.seconds:g} s while {found.begun} of them were begun")
    print(f"messages beyond one each   {found.twice}  goal 0")
    print(f"published again            {found.said}  goal 0")
    print(f"started twice              {found.started_twice}  goal 0")
    return int(bool(found.twice or found.said or found.started_twice))


if __name__ == "__main__":
    sys.exit(main())

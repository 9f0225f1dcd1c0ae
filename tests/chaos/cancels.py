"""``python -m tests.chaos.cancels``: how soon a cancel is seen, and a body that does not look is killed (P6)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from jobkit.states import State
from jobkit.testing import eventually
from tests.chaos.evidence import END, STARTED
from tests.chaos.figures import percentile, spread
from tests.chaos.stage import Stage, staged
from tests.processes import gone

#: Seconds, median, in which the flag of a running job is up; and after the grace period, until it is killed.
SEEN, KILLED = 0.2, 2.0
#: What an app has that says nothing about it; tests have it all quicker.
DEFAULTS = {"jobkit_lease": 10.0, "jobkit_renew": 3.0, "jobkit_keeper_interval": 0.5}


@dataclass(frozen=True)
class Death:
    """A job that was killed.

    Seconds after its grace period until its end was recorded, and until what it had started was gone; neighbours that
    ended well in their first run.
    """

    late: float
    gone: float
    unharmed: int


def seen(stage: Stage, jobs: int) -> list[float]:
    """Cancel so many jobs that look every hundredth of a second, one by one; seconds until each had seen it."""
    found = []
    for _ in range(jobs):
        handle = stage.submit("looks", 60)
        stage.started(handle)
        began = time.monotonic()
        handle.abort()
        (line,) = eventually(lambda handle=handle: stage.evidence.of(handle.id, END))  # type: ignore[misc]
        found.append(line.at - began)
        eventually(lambda handle=handle: handle.job.state is State.CANCELLED)  # type: ignore[misc]
    return found


def killed(stage: Stage, grace: float, neighbours: int, seconds: float) -> Death:
    """Cancel a job that hears nothing and has started a process, among neighbours that run for so many seconds."""
    beside = [stage.submit("plain", seconds) for _ in range(neighbours)]
    deaf = stage.submit("hangs", 600, True)
    stage.started(deaf, *beside)
    (line,) = eventually(lambda: stage.evidence.of(deaf.id, STARTED))
    began = time.monotonic()
    deaf.abort(grace=grace)
    eventually(lambda: not deaf.job.is_live, grace + 30, stage.story)
    late = time.monotonic() - began - grace
    eventually(lambda: gone(line.more["process"]))
    reaped = time.monotonic() - began - grace
    assert deaf.job.state is State.KILLED
    eventually(lambda: not any(one.job.is_live for one in beside), seconds + 30)
    well = [one for one in beside if one.job.state is State.FINISHED and one.job.run == 1]
    return Death(late, reaped, len(well))


def main() -> int:
    """Run it; 0 if the goals are met."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.cancels", description=__doc__)
    parser.add_argument("--pool", choices=("prefork", "threads"), default="prefork", help="for what looks")
    parser.add_argument("--jobs", type=int, default=100, help="default %(default)s")
    parser.add_argument("--deaths", type=int, default=10, help="default %(default)s")
    parser.add_argument("--grace", type=float, default=2.0, help="seconds, default %(default)s")
    options = parser.parse_args()
    with staged(Path(tempfile.mkdtemp(prefix="jobkit-cancels-")), DEFAULTS) as stage:
        stage.start(options.pool, 4, ["--queues=celery"])
        flags = seen(stage, options.jobs)
        stage.workers[0].tell()
        stage.start("prefork", 9)
        deaths = [killed(stage, options.grace, 8, options.grace + 3) for _ in range(options.deaths)]
        findings = stage.judge()
    print(f"cancel to its sight ({options.pool})   {spread(flags, 1000, 'ms')}  goal p50 < {1000 * SEEN:.0f} ms")
    print(f"grace over to KILLED             {spread([one.late for one in deaths])}  goal max <= {KILLED:g} s")
    print(f"grace over, nothing of it left   {spread([one.gone for one in deaths])}  goal max <= {KILLED:g} s")
    harmed = sum(8 - one.unharmed for one in deaths)
    print(f"neighbours harmed                {harmed} of {8 * len(deaths)}  goal 0")
    print(f"findings                         {findings}  goal []")
    met = percentile(flags, 0.5) < SEEN and all(max(one.late, one.gone) <= KILLED for one in deaths)
    return int(not met or bool(harmed or findings))


if __name__ == "__main__":
    sys.exit(main())

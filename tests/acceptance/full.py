"""A Redis that is full while jobs run and wait: what is refused, what ends, what is shown, and how soon all is well.

As a program, with the figures: ``python -m tests.acceptance.full --running 100 --queued 500 --seconds 20``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from jobkit import JobExpired, Outcome, State, StoreRefused
from jobkit.embedded import EmbeddedRedis
from jobkit.testing import eventually
from tests.acceptance.apps import imported, running
from tests.web.flowers import flower

APP = "tests.acceptance.retention_app"


@dataclass
class Report:
    """What came of it; the rates are jobs a second."""

    refused_after: float
    ended: int
    page: int
    lost: int
    rate_before: float
    rate_after: float
    well_after: float

    def __str__(self) -> str:
        return (
            f"refused after {self.refused_after * 1000:.0f} ms; {self.ended} of those that ran ended meanwhile; "
            f"the page answered {self.page}; lost {self.lost}; all well {self.well_after:.1f} s after there was room; "
            f"{self.rate_before:.0f} jobs/s before, {self.rate_after:.0f} then"
        )


def outcome(jobs: Any, job_id: str) -> Outcome | None:
    """How it ended: where Redis is full, those that have ended go soon, and are known for it."""
    try:
        found: Outcome | None = jobs.get(job_id).outcome
        return found
    except JobExpired as gone:
        return gone.outcome


def well(jobs: Any, handles: list[Any]) -> int:
    """How many of these have ended well."""
    return sum(outcome(jobs, handle.id) is Outcome.SUCCEEDED for handle in handles)


def fill(folder: Path, at_work: int, queued: int, seconds: float) -> Report:
    """So many jobs run and wait while there is no room for `seconds`."""
    with EmbeddedRedis(appendonly=True) as server, Redis.from_url(server.url) as client:
        variables = {"JOBKIT_TEST_URL": server.url}
        options = ("--pool=threads", f"--concurrency={at_work}")
        with (
            running(APP, variables, folder, *options) as worker,
            imported(APP, variables) as m,
            flower(server.url, folder, app=APP, variables=variables) as pages,
        ):
            worker.wait_ready()
            _rate(m, queued)  # warm
            before = _rate(m, queued)
            busy = m.jobs.submit_many([m.create_snapshot.s(seconds / 2) for _ in range(at_work)])
            eventually(lambda: m.jobs.counts()[State.RUNNING] == at_work, 60)
            waiting = m.jobs.submit_many([m.create_disk.s(n) for n in range(queued)])
            client.config_set("maxmemory", 1)
            began = time.monotonic()
            refused = _refused(m)
            eventually(lambda: well(m.jobs, busy) == at_work or time.monotonic() - began > seconds, seconds + 60)
            ended = well(m.jobs, busy)
            page = pages.get("/jobs").status
            eventually(lambda: time.monotonic() - began > seconds, seconds + 60)
            client.config_set("maxmemory", 0)
            began, every = time.monotonic(), [*busy, *waiting]
            eventually(lambda: well(m.jobs, every) == len(every) or time.monotonic() - began > 60, 120)
            took, lost = time.monotonic() - began, len(every) - well(m.jobs, every)
            return Report(refused, ended, page, lost, before, _rate(m, queued), took)


def _refused(m: Any) -> float:
    began = time.monotonic()
    try:
        m.jobs.submit(m.create_disk.s(0))
    except StoreRefused:
        return time.monotonic() - began
    raise AssertionError("a full Redis took a job")


def _rate(m: Any, count: int) -> float:
    began = time.monotonic()
    m.jobs.wait_many(m.jobs.submit_many([m.create_disk.s(n) for n in range(count)]), timeout=120)
    return count / (time.monotonic() - began)


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.full", description=__doc__)
    parser.add_argument("--running", type=int, default=100)
    parser.add_argument("--queued", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="jobkit-full-"))  # the logs stay
    print(fill(folder, given.running, given.queued, given.seconds))


if __name__ == "__main__":
    main()

"""A Redis that is full while jobs run and wait: what is refused, what ends, what is shown, and how soon all is well.

How much is done before and after is compared with what a worker of another Redis, that always has room, does in turn
with it: what else the machine has to do is the same for both.

As a program, with the figures: ``python -m tests.acceptance.full --running 100 --queued 500 --seconds 20``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from celery import Celery
from redis import Redis

from benchmarks.counters import snapshot
from jobkit import JobExpired, JobKit, Outcome, State, StoreRefused
from jobkit.embedded import EmbeddedRedis
from jobkit.testing import WorkerProcess, eventually
from tests import brokers
from tests.acceptance.apps import close, imported, running
from tests.web.flowers import flower

APP = "tests.acceptance.retention_app"
#: Seconds within which throughput has to be back once there is room, and the part of it that has to be.
BACK, PART = 10.0, 0.9


@dataclass
class Sample:
    """Jobs a second, and how many times that of the other Redis; `at` so many seconds."""

    at: float
    rate: float
    ratio: float


@dataclass
class Report:
    """What came of it; `before` and `after` are samples of how much is done, the latter since there was room.

    `costs` are ms of a processor that a job took its worker and Redis, before and after.
    """

    refused_after: float
    ended: int
    page: int
    lost: int
    before: list[Sample]
    after: list[Sample]
    watched: float
    well_after: float
    costs: tuple[float, float]

    @property
    def back_after(self) -> float | None:
        """Seconds until as much is done as before, but for a tenth, from then on; None if that did not come to be."""
        enough, after = PART * median(one.ratio for one in self.before), self.after
        return next((one.at for n, one in enumerate(after) if median(each.ratio for each in after[n:]) >= enough), None)

    def __str__(self) -> str:
        back = f"{PART:.0%} of that " + ("not reached" if self.back_after is None else f"after {self.back_after:.1f} s")
        return (
            f"refused after {self.refused_after * 1000:.0f} ms; {self.ended} of those that ran ended meanwhile; "
            f"the page answered {self.page}; lost {self.lost}; all well {self.well_after:.1f} s after there was room; "
            f"before: {_said(self.before)}; in the {self.watched:g} s since there was room: {_said(self.after)}; "
            f"{back}; a job took worker and Redis {self.costs[0]:.1f} ms of a processor before, "
            f"{self.costs[1]:.1f} ms then"
        )


def _said(found: list[Sample]) -> str:
    each = " ".join(f"{one.ratio:.2f}" for one in found)
    ratio, rate = median(one.ratio for one in found), median(one.rate for one in found)
    return f"{rate:.0f} jobs/s, {ratio:.2f} times what another Redis does ({each})"


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


@contextmanager
def beside(folder: Path, *options: str) -> Iterator[JobKit]:
    """The same app and worker on a Redis of their own, that always has room."""
    with EmbeddedRedis(appendonly=True) as server:
        app = Celery("beside", **brokers.beside(server.url), set_as_current=False)
        jobs = JobKit(app)
        folder.mkdir()
        with running(APP, {"JOBKIT_TEST_URL": server.url}, folder, *options) as worker:
            worker.wait_ready()
            yield jobs
        close(app)


def fill(folder: Path, at_work: int, queued: int, seconds: float, watched: float = BACK) -> Report:
    """So many jobs run and wait while there is no room for `seconds`; samples are taken for `watched` seconds."""
    options = ("--pool=threads", f"--concurrency={at_work}")
    with EmbeddedRedis(appendonly=True) as server, Redis.from_url(server.url) as client:
        variables = {"JOBKIT_TEST_URL": server.url}
        with (
            running(APP, variables, folder, *options) as worker,
            imported(APP, variables) as m,
            flower(server.url, folder, app=APP, variables=variables) as pages,
            beside(folder / "beside", *options) as other,
        ):
            worker.wait_ready()
            list(_samples(m.jobs, other, queued, 0))  # warm
            few = queued // 5
            before, cost = _costing(client, worker, few, _samples(m.jobs, other, few, watched))
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
            after, then = _costing(client, worker, few, _samples(m.jobs, other, few, watched, began))
            return Report(refused, ended, page, lost, before, after, watched, took, (cost, then))


def _refused(m: Any) -> float:
    began = time.monotonic()
    try:
        m.jobs.submit(m.create_disk.s(0))
    except StoreRefused:
        return time.monotonic() - began
    raise AssertionError("a full Redis took a job")


def _costing(client: Redis, worker: WorkerProcess, count: int, samples: Iterator[Sample]) -> tuple[list[Sample], float]:
    """These samples, each of so many jobs, and ms of a processor that each job took."""
    start = snapshot(client, 0, worker.pid)
    found = list(samples)
    spent = start.per_job(snapshot(client, count * len(found), worker.pid))
    return found, (spent["worker_cpu"] + spent["redis_cpu"]) / 1000


def _samples(jobs: JobKit, other: JobKit, count: int, seconds: float, began: float | None = None) -> Iterator[Sample]:
    """So many jobs at once here and then there, again and again for so many seconds, once at least."""
    began = time.monotonic() if began is None else began
    while True:
        here = _rate(jobs, count)
        at = time.monotonic() - began
        yield Sample(at, here, here / _rate(other, count))
        if time.monotonic() - began >= seconds:
            return


def _rate(jobs: JobKit, count: int) -> float:
    began, disk = time.monotonic(), f"{APP}.create_disk"
    jobs.wait_many(jobs.submit_many([jobs.app.signature(disk, (n,)) for n in range(count)]), timeout=120)
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

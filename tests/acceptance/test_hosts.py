"""Hosts that are away, with real workers: their jobs wait without standing in anybody's way, and come back in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from click.testing import CliRunner

from jobkit import State
from jobkit.cli.main import jobkit
from jobkit.testing import WorkerProcess, eventually

Start = Callable[..., WorkerProcess]


def submit(lifecycle: ModuleType, n: int, **options: Any) -> Any:
    return lifecycle.jobs.submit(lifecycle.add.s(n, n), **options)


def bodies(notes: Path) -> list[str]:
    return [line.split()[1] for line in notes.read_text().splitlines() if line.startswith("body")]


def test_a_thousand_jobs_of_a_host_that_is_away_hold_up_nobody_and_come_back_in_order(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    jobs = lifecycle.jobs
    before = [submit(lifecycle, n, host="eu").id for n in range(300)]
    jobs.hosts.offline("eu", "no power")
    during = [submit(lifecycle, n, host="eu").id for n in range(700)]
    counts = jobs.counts()
    assert (counts[State.HOST_BLOCKED], counts[State.QUEUED]) == (1000, 0)
    start_worker(concurrency=1)
    others = [submit(lifecycle, n, host="us") for n in range(20)]
    for handle in others:
        handle.get(timeout=20)
    # Nothing of the thousand was looked at on the way, except to drop the messages of those that had been queued.
    assert bodies(notes) == [handle.id for handle in others]
    assert (jobs.counts()[State.HOST_BLOCKED], jobs.hosts.state("eu"), jobs.hosts.list()[0].waiting) == (
        1000,
        "offline",
        1000,
    )
    assert jobs.hosts.online("eu")
    eventually(lambda: jobs.counts()[State.FINISHED] == 1020, 100)
    # Of those that were queued in the same millisecond any may be first.
    queued = {job_id: jobs.get(job_id).submitted_at for job_id in before + during}
    order = [queued[job_id] for job_id in bodies(notes)[20:]]
    assert order == sorted(order)
    assert len(order) == 1000


def test_a_block_holds_what_is_submitted_later_and_lifts_itself(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    start_worker()
    lifecycle.add.delay(0, 0).get(timeout=20)
    lifecycle.jobs.blocks.add(task="lifecycle_app.add", reason="maintenance")
    handle = submit(lifecycle, 1)
    eventually(lambda: handle.job.state is State.HOST_BLOCKED)
    assert handle.job.blocked_by == "task lifecycle_app.add"
    lifecycle.jobs.blocks.add(task="lifecycle_app.add", until=0.5)
    assert handle.get(timeout=20) == 2
    assert lifecycle.jobs.blocks.list() == ()
    assert submit(lifecycle, 2).get(timeout=20) == 4


def test_a_blocked_job_can_be_aborted(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    lifecycle.jobs.hosts.dormant("eu")
    handle = submit(lifecycle, 1, host="eu")
    handle.abort()
    eventually(lambda: handle.job.state is State.REMOVED)


def test_the_same_for_asyncio_and_on_the_command_line(lifecycle: ModuleType) -> None:
    def call(*words: str) -> str:
        result = CliRunner().invoke(jobkit, ["-A", "lifecycle_app", *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    call("block", "host", "eu", "--dormant", "--reason", "for the night", "--for", "1h")
    handle = submit(lifecycle, 1, host="eu")
    assert asyncio.run(lifecycle.jobs.hosts.alist()) == lifecycle.jobs.hosts.list()
    (found,) = json.loads(call("blocks", "-j"))
    assert (found["kind"], found["name"], found["state"], found["reason"], found["waiting"]) == (
        "host", "eu", "dormant", "for the night", 1,
    )  # fmt: skip
    assert call("blocks").split("\t")[:4] == ["host", "eu", "dormant", "1"]
    call("unblock", "host", "eu")
    assert handle.job.state is State.QUEUED
    asyncio.run(lifecycle.jobs.hosts.aoffline("eu"))
    assert lifecycle.jobs.hosts.state("eu") == "offline"
    assert asyncio.run(lifecycle.jobs.hosts.aonline("eu"))
    assert not asyncio.run(lifecycle.jobs.blocks.aremove(host="eu"))

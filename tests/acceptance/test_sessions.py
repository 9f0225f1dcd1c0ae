"""Log-out, priorities and reasons, with real workers."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from jobkit import ChildFailed, InvalidOption, State
from jobkit.cli.main import jobkit
from jobkit.testing import WorkerProcess, eventually
from tests import brokers
from tests.acceptance.conftest import HERE

Start = Callable[..., WorkerProcess]


def test_who_logs_out_is_told_what_is_pending_and_cancels_it(lifecycle: ModuleType, start_worker: Start) -> None:
    jobs = lifecycle.jobs
    start_worker(concurrency=1)
    running = jobs.submit(lifecycle.looks.s(60), owner="alice")
    eventually(lambda: running.job.state is State.RUNNING)
    waiting = jobs.submit(lifecycle.looks.s(60), owner="alice")
    later = jobs.submit(lifecycle.looks.s(60), owner="alice", start_at=3600)
    other = jobs.submit(lifecycle.add.s(1, 1), owner="bob")
    session = jobs.session("alice")
    assert {job.id for job in session.pending()} == {running.id, waiting.id, later.id}
    # A session that merely expires is never closed: nothing happens.
    assert session.close(cancel=False).cancelled == ()
    assert running.job.state is State.RUNNING
    closed = session.close()
    assert (set(closed.cancelled), closed.left) == ({running.id, waiting.id, later.id}, ())
    eventually(lambda: session.pending() == ())
    assert [handle.job.state for handle in (running, waiting, later)] == [
        State.CANCELLED, State.REMOVED, State.REMOVED,
    ]  # fmt: skip
    assert other.get(timeout=20) == 2
    assert asyncio.run(session.aclose()).cancelled == ()
    call = CliRunner().invoke(jobkit, ["-A", "lifecycle_app", "session", "alice", "--cancel", "-j"])
    assert json.loads(call.stdout) == {"cancelled": [], "left": []}


def test_the_reason_of_a_failure_goes_all_the_way_down(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    handle = lifecycle.parent.delay(["bad"])
    with pytest.raises(ChildFailed):
        handle.get(timeout=20)
    reason = lifecycle.jobs.reason(handle.id)
    assert (reason.failure.type, reason.child.failure.type, reason.child.failure.message) == (
        "ChildFailed", "ValueError", "child 0",
    )  # fmt: skip
    assert "raise ValueError" in reason.child.failure.traceback
    failed = lifecycle.works.delay(2, fails=1)
    with pytest.raises(KeyError):
        failed.get(timeout=20)
    (undone,) = lifecycle.jobs.reason(failed.id).compensations
    assert undone.failure.message == "cannot undo 1"
    shown = json.loads(CliRunner().invoke(jobkit, ["-A", "lifecycle_app", "show", failed.id, "-j"]).stdout)
    assert shown["reason"]["compensations"][0]["failure"]["message"] == "cannot undo 1"
    assert shown["failed_compensations"] == [undone.job_id]
    assert asyncio.run(lifecycle.jobs.areason(failed.id)) == lifecycle.jobs.reason(failed.id)


@pytest.fixture(params=sorted({brokers.kind(), "rabbitmq"}))
def ranked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The app with priorities, on both brokers."""
    monkeypatch.setenv("JOBKIT_TEST_PRIORITIES", "1")
    monkeypatch.syspath_prepend(str(HERE))
    with brokers.chosen(request, request.param):
        monkeypatch.setenv("JOBKIT_TEST_URL", request.getfixturevalue("jobkit_store_url"))
        yield from _imported()


def _imported() -> Iterator[ModuleType]:
    module = importlib.import_module("lifecycle_app")
    yield module
    module.jobs.close()
    del sys.modules["lifecycle_app"]


def test_short_jobs_go_before_long_ones_and_raised_ones_before_both(
    ranked: ModuleType, start_worker: Start, notes: Path
) -> None:
    def submit(what: Any, **options: Any) -> str:
        return str(ranked.jobs.submit(what, **options).id)

    order = [submit(ranked.takes_long.s()), submit(ranked.add.s(1, 1)), submit(ranked.is_short.s())]
    order.append(submit(ranked.takes_long.s(), priority="high"))
    start_worker(concurrency=1, arguments=["--prefetch-multiplier=1"])
    eventually(lambda: len(notes.read_text().splitlines()) >= 5, 20)
    bodies = [line.split()[1] for line in notes.read_text().splitlines() if line.startswith("body")]
    assert bodies == [order[3], order[2], order[1], order[0]]


@brokers.only("redis", "kombu", why="a message that waits there keeps its priority")
@pytest.mark.parametrize("ranked", [brokers.kind()], indirect=True)
def test_nobody_starves(ranked: ModuleType, start_worker: Start, notes: Path) -> None:
    last = ranked.takes_long.delay()
    start_worker(concurrency=1, arguments=["--prefetch-multiplier=1"])
    # As long as there are shorter ones to do, only its age lets it run.
    n = 0
    while last.job.state is State.QUEUED:
        eventually(lambda: ranked.jobs.counts()[State.QUEUED] < 5, 20)
        ranked.is_short.delay(0.05)
        n += 1
    assert last.get(timeout=20) is None
    assert ranked.jobs.get(last.id).state is State.FINISHED


def test_a_priority_needs_the_setting(lifecycle: ModuleType) -> None:
    with pytest.raises(InvalidOption, match="jobkit_priorities"):
        lifecycle.jobs.submit(lifecycle.add.s(1, 1), priority="high")

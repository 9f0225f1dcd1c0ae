"""The Hyper-V document's two stories, with real workers; families; and a Redis that must not be started on.

``JOBKIT_TEST_DISKS=4000`` does the bulk run at its full size.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group
from redis import Redis

from jobkit import Job, JobExpired, JobKit, State
from jobkit.embedded import EmbeddedRedis
from jobkit.testing import eventually
from tests.acceptance.apps import ROOT, imported, running

APP = "tests.acceptance.retention_app"
DISKS = int(os.environ.get("JOBKIT_TEST_DISKS", "400"))


@pytest.fixture
def stage(jobkit_store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Any, JobKit]]:
    """The app's module with a worker, in this environment."""
    variables = {"JOBKIT_TEST_URL": jobkit_store_url, **getattr(request, "param", {})}
    options = ("--pool=threads", "--concurrency=16")
    with running(APP, variables, tmp_path, *options) as worker, imported(APP, variables) as module:
        worker.wait_ready()
        yield module, module.jobs


@pytest.mark.timeout(600)
@pytest.mark.parametrize("stage", [{"JOBKIT_TEST_JOBS": str(DISKS // 4), "JOBKIT_TEST_LEAST": "5"}], indirect=True)
def test_a_bulk_run_of_one_owner_hides_no_job_from_another(stage: tuple[Any, JobKit]) -> None:
    """4,000 disks of one owner, four times what there is room for, while another polls 50 slow jobs of his."""
    module, jobs = stage
    slow = jobs.submit_many([module.create_snapshot.s(n % 5 * 0.2) for n in range(50)], owner="bob")
    seen: dict[str, list[State]] = {handle.id: [] for handle in slow}
    over, missing = threading.Event(), list[Exception]()

    def poll() -> None:
        while not over.is_set():
            for job_id, states in seen.items():
                try:
                    states.append(jobs.get(job_id).state)
                except Exception as exc:
                    missing.append(exc)
                    return

    poller = threading.Thread(target=poll)
    poller.start()
    told: list[tuple[int, int]] = []
    disks = jobs.submit_many((module.create_disk.s(n) for n in range(DISKS)), owner="alice", keep_until_read=True)
    ended = jobs.wait_many(disks, timeout=500, progress=lambda *numbers: told.append(numbers))
    jobs.wait_many(slow, timeout=60)
    over.set()
    poller.join()
    assert missing == []
    assert [job.result for job in ended] == list(range(DISKS))
    assert told[-1] == (DISKS, DISKS)
    assert all(states[-1] in (State.FINISHED, State.RUNNING) for states in seen.values())
    assert {jobs.get(handle.id).state for handle in slow} == {State.FINISHED}
    # Those he let go may go now, but for those he polls; what went is known to have been there.
    eventually(lambda: jobs.counts()[State.FINISHED] <= DISKS // 4, 60)
    assert {jobs.get(handle.id).state for handle in slow} == {State.FINISHED}
    gone = [error for error in (expired(jobs, disk.id) for disk in disks) if error]
    assert len(gone) >= DISKS - DISKS // 4
    assert {(error.state, error.why) for error in gone} == {(State.FINISHED, "cap")}


def expired(jobs: JobKit, job_id: str) -> JobExpired | None:
    try:
        jobs.get(job_id)
    except JobExpired as exc:
        return exc
    return None


SHORT = [{"JOBKIT_TEST_RETENTION": "1.5", "JOBKIT_TEST_LEAST": "1"}]


@pytest.mark.parametrize("stage", SHORT, indirect=True)
def test_a_coffee_break_loses_no_job_that_is_pinned_or_unread(stage: tuple[Any, JobKit]) -> None:
    module, jobs = stage
    pinned = jobs.submit(module.create_disk.s(1))
    unread = jobs.submit(module.create_disk.s(2), keep_until_read=True)
    longer = jobs.submit(module.create_disk.s(3), keep=300)
    other = module.create_disk.delay(4)
    jobs.pin(pinned.id, for_=6)
    eventually(lambda: expired(jobs, other.id))
    asked_late = module.app.AsyncResult(other.id)
    assert asked_late.state == "EXPIRED"
    with pytest.raises(JobExpired, match="its time was over"):
        asked_late.get(timeout=60)
    assert [handle.get(timeout=5) for handle in (pinned, unread, longer)] == [1, 2, 3]
    eventually(lambda: expired(jobs, unread.id), 10)
    eventually(lambda: expired(jobs, pinned.id), 10)  # whoever pinned it is not heard of any more
    assert longer.job.state is State.FINISHED


@pytest.mark.parametrize("stage", SHORT, indirect=True)
def test_families_are_retained_as_one(stage: tuple[Any, JobKit]) -> None:
    """All of a group, a chord and a chain are there as long as one of them lives, and go together."""
    module, jobs = stage
    slow = module.create_snapshot.s(4.0)
    families = {
        "group": group(*(module.create_disk.s(n) for n in range(5)), slow).apply_async(),
        "chord": chord([module.create_disk.s(1), module.create_disk.s(2)])(module.total.s(4.0)),
        "chain": chain(module.add.s(1, 2), module.add.s(3), module.create_snapshot.si(4.0)).apply_async(),
    }
    members = {name: list(everyone(result)) for name, result in families.items()}
    assert {name: len(ids) for name, ids in members.items()} == {"group": 6, "chord": 3, "chain": 3}
    quick = module.create_disk.delay(9)
    eventually(lambda: expired(jobs, quick.id))
    for ids in members.values():
        assert [job_id for job_id in ids if expired(jobs, job_id)] == []
    assert families["group"].get(timeout=30)[:5] == list(range(5))
    jobs.wait_many([ids[0] for ids in members.values()], timeout=30)
    for ids in members.values():
        eventually(lambda ids=ids: all(expired(jobs, job_id) for job_id in ids), 20)  # type: ignore[misc]
    left = [key for key in jobs.store.client.scan_iter("*") if b"kin:" in key or b"family:" in key]
    assert left == []


def everyone(result: Any) -> Iterator[str]:
    """The ids of a result, of those before it, and of those it is made of."""
    if result is None:
        return
    if hasattr(result, "results"):
        for child in result.results:
            yield child.id
    else:
        yield result.id
    yield from everyone(result.parent)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("stage", [{"JOBKIT_TEST_JOBS": str(DISKS // 3)}], indirect=True)
def test_ten_thousand_results_of_a_group_are_all_there_at_its_end(stage: tuple[Any, JobKit]) -> None:
    module, jobs = stage
    size = max(DISKS, 400)
    result = group(module.create_disk.s(n) for n in range(size)).apply_async()
    # Nobody looks at them, nor waits, until the last has ended; there is room for fewer than half of them.
    eventually(lambda: jobs.counts()[State.FINISHED] == size, 500)
    began = time.monotonic()
    assert result.get(timeout=300) == list(range(size))
    print(f"{size:,} results of a group that had ended: {time.monotonic() - began:.1f} s")
    found: list[Job] = jobs.wait_many(result.results, timeout=60)
    assert [job.result for job in found] == list(range(size))


def test_a_worker_does_not_start_where_redis_may_take_live_jobs(tmp_path: Path) -> None:
    """S5: under allkeys-… nothing is safe; under volatile-lru only ended jobs can go."""
    with EmbeddedRedis(extra=("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")) as server:
        command = [sys.executable, "-m", "celery", "-A", APP, "worker", "--pool=solo", "--without-mingle"]
        env = {**os.environ, "JOBKIT_TEST_URL": server.url}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert "may take live jobs when it is full" in done.stderr
        assert "CONFIG SET maxmemory-policy noeviction" in done.stderr
        with Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", "volatile-lru")
        with running(APP, {"JOBKIT_TEST_URL": server.url}, tmp_path, "--pool=solo") as worker:
            worker.wait_ready()
            eventually(lambda: "A restart of Redis loses every job" in worker.log)


def test_doctor_and_memory_on_the_command_line(stage: tuple[Any, JobKit]) -> None:
    module, jobs = stage
    jobs.wait_many(jobs.submit_many(module.create_disk.s(n) for n in range(20)), timeout=30)
    env = {**os.environ, "JOBKIT_TEST_URL": module.URL}

    def cli(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", "-m", "jobkit.cli.main", "-A", APP, *words]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)

    found = cli("doctor")
    lines = [line.split("\t") for line in found.stdout.splitlines()]
    assert found.returncode == 1  # the Redis of the tests keeps nothing on disk
    assert [line[1] for line in lines if line[0] != "ok"] == ["persistence"]
    assert {"version", "eviction", "clock", "schema", "rights", "workers", "orphans"} <= {line[1] for line in lines}
    memory = cli("memory")
    assert memory.returncode == 0
    assert "an ended job takes" in memory.stderr
    assert any(line.split("\t")[:3] == ["ended jobs", "job", "20"] for line in memory.stdout.splitlines())
    [job] = jobs.query(limit=1).jobs
    assert cli("pin", job.id, "--for", "1h").returncode == 0
    assert cli("unpin", job.id).stderr.strip().endswith("is let go.")
    assert cli("forget", job.id).returncode == 0
    gone = cli("show", job.id)
    assert (gone.returncode, "it was deleted" in gone.stderr) == (4, True)


def test_waiting_goes_on_while_the_clock_does(stage: tuple[Any, JobKit]) -> None:
    module, jobs = stage
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        jobs.wait(module.create_snapshot.delay(9.0), timeout=0.5)
    assert time.monotonic() - began < 9.0

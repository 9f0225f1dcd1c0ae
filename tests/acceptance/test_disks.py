"""The disk jobs in a real worker: real files, real reads, and what a client can see of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

import workers
from jobkit import Job, JobKit, Outcome, State
from jobkit.testing import WorkerFactory
from tests.brokers import beside, shipped, variables
from workers.disk_list import read_list

SAMPLES = Path(workers.__file__).parent
CREATE_DISK, CREATE_DISKS = "workers.jobs.disks.create_disk", "workers.jobs.disks.create_disks"

Ended = Callable[..., Job]


@pytest.fixture
def jobs(jobkit_store_url: str) -> Iterator[JobKit]:
    """A client that knows the tasks by name only."""
    with Celery("client", **beside(jobkit_store_url), set_as_current=False) as app:
        yield JobKit(app)


@pytest.fixture
def ended(jobs: JobKit, jobkit_store_url: str, worker_process: WorkerFactory) -> Ended:
    """Submit a job, have a worker do it, and return what became of it."""
    env = variables(jobkit_store_url)
    worker_process(shipped(), env=env, concurrency=1, cwd=SAMPLES.parent)

    def run(task: str, *args: Any) -> Job:
        handle = jobs.submit(jobs.app.signature(task, args=args))
        handle.get(timeout=60, propagate=False)
        return jobs.get(handle.id)

    return run


@pytest.mark.parametrize("name", ["disks.csv", "disks.json"])
def test_a_sample_list_becomes_twelve_images(ended: Ended, jobs: JobKit, tmp_path: Path, name: str) -> None:
    disks = read_list(SAMPLES / name)
    job = ended(CREATE_DISKS, disks, str(tmp_path / "images"))
    total = sum(disk["size"] for disk in disks)

    assert (job.state, job.outcome) == (State.FINISHED, Outcome.SUCCEEDED)
    assert job.message == f"12 of 12 disks created, {total:,} bytes"
    assert [(image["name"], image["bytes"]) for image in job.result] == [(disk["name"], disk["size"]) for disk in disks]
    for image in job.result:
        path = tmp_path / "images" / image["name"]
        assert path.stat().st_size == image["bytes"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == image["sha256"]
    assert len(list((tmp_path / "images").iterdir())) == 12

    assert job.progress is not None
    assert (job.progress.done, job.progress.total, job.progress.fraction) == (total, total, 1.0)
    assert job.has_checkpoint
    assert [line.message.partition(":")[0] for line in jobs.log(job.id)] == [disk["name"] for disk in disks]
    assert [step.target for step in jobs.history(job.id)] == [State.QUEUED, State.RUNNING, State.FINISHED]


def test_bad_entries_are_skipped_and_named(ended: Ended, jobs: JobKit, tmp_path: Path) -> None:
    (tmp_path / "old.img").write_text("precious")
    entries = [{"name": "old.img", "size": "1M"}, {"name": "new.img", "size": "1M"}, {"name": "odd.img", "size": "x"}]
    job = ended(CREATE_DISKS, entries, str(tmp_path))

    assert (job.state, job.outcome) == (State.FINISHED, Outcome.PARTIALLY_SUCCEEDED)
    assert job.message.startswith("1 of 3 disks created, 1,048,576 bytes; skipped: ")
    assert f"old.img exists already in {tmp_path}; 'odd.img': size is 'x'; allowed: 1 byte to 2 TiB" in job.message
    assert [image["name"] for image in job.result] == ["new.img"]
    assert (tmp_path / "old.img").read_text() == "precious"
    assert [line.level for line in jobs.log(job.id)] == ["WARNING", "INFO", "WARNING"]


def test_a_list_without_a_good_entry_fails(ended: Ended, tmp_path: Path) -> None:
    job = ended(CREATE_DISKS, [{"name": "../escape.img", "size": "1M"}, {"name": "a.img"}], str(tmp_path / "images"))

    assert (job.state, job.outcome) == (State.ERROR, Outcome.FAILED)
    assert job.failure is not None
    assert job.failure.type == "NothingCreated"
    assert "none of 2 disks was created: '../escape.img': name is '../escape.img'" in job.failure.message
    assert list((tmp_path / "images").iterdir()) == []
    assert not (tmp_path / "escape.img").exists()


def test_one_disk(ended: Ended, tmp_path: Path) -> None:
    job = ended(CREATE_DISK, "one.img", "3MB", str(tmp_path))
    assert job.outcome is Outcome.SUCCEEDED
    assert job.result["sha256"] == hashlib.sha256((tmp_path / "one.img").read_bytes()).hexdigest()

    again = ended(CREATE_DISK, "one.img", "3MB", str(tmp_path))
    assert again.failure is not None
    assert (again.failure.type, again.failure.message) == ("DiskExists", f"one.img exists already in {tmp_path}")

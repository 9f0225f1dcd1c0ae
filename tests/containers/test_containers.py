"""The worker image at work: jobs go through a real Redis container, and their history is read from outside."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pytest_celery import CeleryTestSetup

from jobkit import JobKit, State
from jobkit.testing import eventually

# making the images takes minutes where none can be pulled
pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

DATA = "/srv/jobkit/data"
LIFE = [(None, State.QUEUED), (State.QUEUED, State.RUNNING), (State.RUNNING, State.FINISHED)]


@pytest.fixture
def jobs(celery_setup: CeleryTestSetup) -> JobKit:
    """A client without the tasks' code, which knows only where Redis is."""
    return JobKit(celery_setup.app)


def create_disks(jobs: JobKit, *names: str, size: str, **options: Any) -> str:
    """The id of a new job; its handle would outlive the Redis container where a test fails."""
    disks = [{"name": name, "size": size} for name in names]
    handle = jobs.submit(jobs.app.signature("workers.jobs.disks.create_disks", args=(disks, DATA)), **options)
    return str(handle.id)


def hostnames(setup: CeleryTestSetup) -> set[str]:
    return {f"celery@{node.container.id[:12]}" for node in setup.worker_cluster}


def test_a_job_runs_in_a_container_and_its_history_is_read_from_outside(
    celery_setup: CeleryTestSetup, jobs: JobKit
) -> None:
    job_id = create_disks(jobs, "a.img", "b.img", size="1M", owner="alice")

    watched = tuple(step for _, step in jobs.watch(job_id, timeout=60))

    history = jobs.history(job_id)
    assert history == watched
    assert [(step.source, step.target) for step in history] == LIFE
    assert {step.by for step in history[1:]} == hostnames(celery_setup)
    assert [line.message.partition(":")[0] for line in jobs.log(job_id)] == ["a.img", "b.img"]
    job = jobs.get(job_id)
    assert [(image["name"], image["bytes"]) for image in job.result] == [("a.img", 2**20), ("b.img", 2**20)]
    assert jobs.query(owner="alice").jobs[0].id == job_id


@pytest.mark.parametrize("celery_worker_cluster", [2], indirect=True)
def test_scaled_workers_share_the_jobs_and_finish_what_runs_when_stopped(
    celery_setup: CeleryTestSetup, jobs: JobKit
) -> None:
    batch: list[str] = []

    def both_have_work() -> bool:
        batch.append(create_disks(jobs, f"{len(batch)}.img", size="256M"))
        return {jobs.get(job_id).worker for job_id in batch} >= hostnames(celery_setup)

    eventually(both_have_work, timeout=30)
    containers = [node.container._container for node in celery_setup.worker_cluster]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: one.stop(timeout=90), containers))

    assert [one.wait()["StatusCode"] for one in containers] == [0, 0]
    ran = [job for job in map(jobs.get, batch) if job.state is not State.QUEUED]
    assert len(ran) >= len(containers)
    assert {(job.state, job.run) for job in ran} == {(State.FINISHED, 1)}

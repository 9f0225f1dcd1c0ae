"""Processes of a pool that die while their worker is busy with another that did."""

from __future__ import annotations

from pathlib import Path

import pytest
from billiard.exceptions import WorkerLostError
from redis import Redis

from jobkit import State
from jobkit.testing import eventually
from tests.acceptance.apps import imported, running

APP = "tests.acceptance.pool_app"


def test_a_job_whose_process_dies_right_after_another_is_not_begun_twice(jobkit_store_url: str, tmp_path: Path) -> None:
    ours = {"JOBS_STORE": jobkit_store_url}
    with (
        running(APP, ours, tmp_path, "--pool=prefork") as worker,
        imported(APP, ours) as module,
        Redis.from_url(jobkit_store_url) as redis,
    ):
        worker.wait_ready()
        first = module.dies_first.delay()
        eventually(lambda: module.noted("held"))
        second = module.dies_second.delay()
        eventually(lambda: f"dies_second[{second.id}] received" in worker.log)
        for _ in range(3):  # so often its loop has turned since: the job is in the pipe of the process that is held
            assert module.app.control.ping(timeout=10, limit=1)
        redis.rpush("go", "now")
        for handle in (first, second):
            with pytest.raises(WorkerLostError, match="Worker exited prematurely"):
                handle.get(timeout=20)
            assert handle.job.state is State.ABORTED
        assert module.noted("second") == ["1"]
        assert "dropped" not in worker.log

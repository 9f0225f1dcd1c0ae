"""What only happens where several runs share a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobkit import Outcome
from tests.acceptance.apps import open_stage


@pytest.mark.parametrize("pool", ["threads", "gevent"])
def test_the_next_run_begins_before_the_last_one_has_left(jobkit_store_url: str, tmp_path: Path, pool: str) -> None:
    with open_stage(tmp_path, jobkit_store_url, f"--pool={pool}") as stage:
        result = stage.m.overlaps.delay()
        assert result.get(timeout=10) == "half of it"
        job = stage.ended(result.id)
        assert (job.run, job.outcome, job.message) == (2, Outcome.PARTIALLY_SUCCEEDED, "run 2")
        assert "refused" not in stage.worker.log

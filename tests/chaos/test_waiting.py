"""Jobs that wait: in a full queue none is published twice; those whose time has not come cost the others nothing."""

from __future__ import annotations

from benchmarks import future
from tests.chaos.full_queue import wait
from tests.chaos.stage import Stage


def test_of_jobs_that_wait_in_a_full_queue_none_is_published_twice(stage: Stage) -> None:
    found = wait(stage, 300, 3.0)  # with this lease, several rounds of the search
    assert found.begun > 0
    assert (found.twice, found.said, found.started_twice) == (0, 0, 0)


def test_jobs_that_are_held_cost_neither_a_submit_nor_the_worker_and_delay_nobody() -> None:
    none, many = future.measure([0, 1_000], sample=100, due=20, seconds=1.0)
    print(none, many, sep="\n")
    assert many.redis < 3 * none.redis
    assert many.worker < none.worker + 16 * 2**20
    assert many.part(0.5) < 10

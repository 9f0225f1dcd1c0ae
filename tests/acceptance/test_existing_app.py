"""An existing Celery app keeps working when jobkit comes in: the same assertions with it and without, on every pool."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

TOPICS = ("shop", "results", "failures", "retries", "canvas", "control", "eager")
pytest.register_assert_rewrite(*(f"tests.acceptance.existing.{topic}" for topic in TOPICS))

from jobkit.embedded import EmbeddedRedis  # noqa: E402
from jobkit.testing import eventually  # noqa: E402
from tests.acceptance.existing.canvas import *  # noqa: E402, F403
from tests.acceptance.existing.control import *  # noqa: E402, F403
from tests.acceptance.existing.eager import *  # noqa: E402, F403
from tests.acceptance.existing.failures import *  # noqa: E402, F403
from tests.acceptance.existing.lifecycles import every_job, faults_of  # noqa: E402
from tests.acceptance.existing.results import *  # noqa: E402, F403
from tests.acceptance.existing.retries import *  # noqa: E402, F403
from tests.acceptance.existing.shop import POOLS, Shop, on, open_shop  # noqa: E402

# redis-py says so of what Celery itself does when it saves a group
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")


@pytest.fixture(scope="module", params=on(*POOLS))
def shop(
    request: pytest.FixtureRequest, jobkit_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """One worker of a pool, with or without jobkit."""
    pool, side = request.param
    with open_shop(jobkit_redis.fresh_url(), tmp_path_factory.mktemp("shop"), pool, side) as opened:
        yield opened


def test_at_the_end_nothing_ran_twice(shop: Shop) -> None:
    shop.unchanged()


def test_at_the_end_every_history_is_a_legal_path(shop: Shop) -> None:
    if shop.jobs is None:
        return
    jobs = shop.jobs
    eventually(lambda: not any(job.is_live for job in every_job(jobs)), 5, "there are jobs that have not ended")
    everything = list(every_job(jobs))
    assert len(everything) > 100
    assert not {job.id: (job.task, faults) for job in everything if (faults := faults_of(job, jobs.runs(job.id)))}

"""What Celery's own handles say of a job whose record has gone, and how long an app has its jobs kept."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery, group

from jobkit import InvalidOption, JobExpired, JobKit, JobUnknown, Outcome, State
from jobkit.ext import ends
from jobkit.ext.ids import uuid7
from jobkit.store import End, Plan, Settled
from tests.brokers import beside


def end(jobs: JobKit, job_id: str, task: Any = None) -> None:
    """Run it, as a worker would."""
    store = jobs.store
    store.claim(job_id, 1, f"tok{job_id}", "w@h|b", 1, redelivered=False, plan=Plan(job_id, "small.add", ""))
    meta = jobs.app.backend.payload(job_id, 3, "SUCCESS")
    done = End(("finish",), Outcome.SUCCEEDED, "well done", meta=meta)
    ends.finish_run(jobs, task, job_id, Settled(1, f"tok{job_id}", "w@h|b"), done)


def quickly(ask: Callable[[], Any]) -> None:
    """It says so at once, and not after having waited for what cannot come."""
    began = time.monotonic()
    with pytest.raises(JobExpired):
        ask()
    assert time.monotonic() - began < 5


def test_get_says_at_once_that_a_job_has_expired(jobs: JobKit, add: Any) -> None:
    handle = add.delay(1, 2)
    end(jobs, handle.id)
    assert jobs.store.prune(urgent=True) == (0, 1)
    again = jobs.app.AsyncResult(handle.id)
    quickly(lambda: again.get(timeout=60))
    quickly(lambda: again.get(timeout=60, propagate=False))
    assert (again.state, again.ready(), again.successful(), again.failed()) == ("EXPIRED", True, False, False)
    assert isinstance(again.result, JobExpired)
    with pytest.raises(JobExpired) as caught:
        again.job  # noqa: B018
    exc = caught.value
    assert (exc.state, exc.outcome, exc.message, exc.why) == (State.FINISHED, Outcome.SUCCEEDED, "well done", "memory")
    assert str(pickle.loads(pickle.dumps(exc))) == str(exc)
    assert jobs.app.backend._pending_results.concrete == {}


def test_what_was_forgotten_is_pending_as_with_celery_but_not_waited_for(jobs: JobKit, add: Any) -> None:
    handle = add.delay(1, 2)
    end(jobs, handle.id)
    handle.forget()
    again = jobs.app.AsyncResult(handle.id)
    assert (again.state, again.result, again.ready()) == ("PENDING", None, False)
    quickly(lambda: again.get(timeout=60))


def test_a_group_says_at_once_that_one_of_it_has_expired(jobs: JobKit, add: Any) -> None:
    result = group(add.s(n, n) for n in range(3)).apply_async()
    for child in result:
        end(jobs, child.id)
    jobs.store.forget(result[1].id)
    quickly(lambda: result.get(timeout=60))
    assert not result.successful()


def test_an_id_that_never_was_is_pending_as_ever(jobs: JobKit, app: Celery) -> None:
    for job_id in ("nobody", uuid7()):
        assert app.AsyncResult(job_id).state == "PENDING"
        with pytest.raises(JobUnknown):
            jobs.get(job_id)


class Retaining:
    """A task, as far as retention looks at it."""

    def __init__(self, retention: Any = None) -> None:
        self.retention = retention


def kit(url: str, conf: dict[str, Any] | None = None, **options: Any) -> JobKit:
    app = Celery("other", **beside(url), set_as_current=False)
    app.conf.update(conf or {})
    return JobKit(app, **options)


def kept(jobs: JobKit, outcome: Outcome = Outcome.SUCCEEDED, task: Any = None) -> float:
    """Seconds a job is kept."""
    return jobs.keep(task, outcome) / 1000


FAILED = Outcome.FAILED
TEN_YEARS = 315_360_000


def test_an_ended_job_is_kept_five_minutes(jobs: JobKit, add: Any) -> None:
    handle = add.delay(1, 2)
    end(jobs, handle.id, add)
    job = jobs.get(handle.id)
    assert job.ended_at is not None
    assert job.expires_at == job.ended_at + timedelta(minutes=5)
    assert jobs.store.limits.jobs == 4096


@pytest.mark.parametrize(("said", "seconds"), [(77, 77), (timedelta(hours=1), 3600), (None, TEN_YEARS), (0, TEN_YEARS)])
def test_what_an_app_says_of_its_results_is_kept_however_many(jobkit_store_url: str, said: Any, seconds: float) -> None:
    jobs = kit(jobkit_store_url, {"result_expires": said})
    assert (kept(jobs), kept(jobs, FAILED), jobs.limits().jobs) == (seconds, seconds, None)
    jobs = kit(jobkit_store_url, {"result_expires": said, "result_failure_expires": 99})
    assert (kept(jobs), kept(jobs, FAILED)) == (seconds, 99)


def test_ours_wins_over_celerys_and_a_tasks_own_over_both(jobkit_store_url: str) -> None:
    jobs = kit(jobkit_store_url, {"result_expires": 77}, retention={"FAILED": 900})
    assert (kept(jobs, FAILED), kept(jobs), jobs.limits().jobs) == (900, 77, 4096)
    some, all_ = Retaining({"SUCCEEDED": 1}), Retaining(2)
    assert (kept(jobs, task=some), kept(jobs, FAILED, some)) == (1, 900)
    assert (kept(jobs, task=all_), kept(jobs, FAILED, all_)) == (2, 2)
    assert kept(kit(jobkit_store_url, {"result_expires": 77}, retention=5)) == 5


@pytest.mark.parametrize("wrong", ["soon", -1, {"MEH": 1}, {"FAILED": -1}, True])
def test_a_retention_that_is_none_is_named(jobkit_store_url: str, wrong: Any) -> None:
    with pytest.raises(InvalidOption, match="jobkit_retention="):
        kit(jobkit_store_url, retention=wrong).settings  # noqa: B018
    with pytest.raises(InvalidOption, match="retention="):
        kept(kit(jobkit_store_url), task=Retaining(wrong))


@pytest.mark.parametrize(
    "option", ["retention_jobs", "retention_bytes", "retention_least", "gone_jobs", "gone_retention"]
)
def test_a_limit_that_is_none_is_named(jobkit_store_url: str, option: str) -> None:
    for wrong in (-1, "many", True):
        with pytest.raises(InvalidOption, match=f"jobkit_{option}="):
            kit(jobkit_store_url, None, **{option: wrong}).settings  # noqa: B018

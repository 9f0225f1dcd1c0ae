"""What must be true at the end, after everything else in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from jobkit import Category, Job, JobKit, Run, State
from jobkit.states import VERBS
from jobkit.testing import eventually
from tests.acceptance.existing.shop import Shop

EDGES = {(source, verb.target) for verb in VERBS.values() for source in verb.sources}
BIRTHS = {verb.target for verb in VERBS.values() if not verb.sources}


def test_at_the_end_nothing_ran_twice(shop: Shop) -> None:
    shop.unchanged()


def test_at_the_end_every_history_is_a_legal_path(shop: Shop) -> None:
    if shop.jobs is None:
        return
    eventually(lambda: not live(shop.jobs), message="jobs that have not ended", timeout=5)
    everything = list(every_job(shop.jobs))
    assert len(everything) > 100
    wrong = {}
    for job in everything:
        if faults := [*faults_of(job, shop.jobs.runs(job.id))]:
            wrong[job.id] = (job.task, faults, [str(step.target) for step in shop.jobs.history(job.id)])
    assert not wrong


def every_job(jobs: JobKit | None) -> Iterator[Job]:
    """Page by page."""
    assert jobs is not None
    page = jobs.query(limit=100)
    yield from page.jobs
    while page.cursor:
        page = jobs.query(limit=100, cursor=page.cursor)
        yield from page.jobs


def live(jobs: JobKit | None) -> list[tuple[str, str, str]]:
    """What has not come to an end."""
    return [(job.id, job.task, str(job.state)) for job in every_job(jobs) if job.is_live]


def faults_of_run(run: Run) -> Iterator[str]:
    """What is wrong with the path of one run."""
    if run.path[0].source is not None or run.path[0].target not in BIRTHS:
        yield f"run {run.number} was born as {run.path[0].target}"
    if run.state.is_live:
        yield f"run {run.number} was left in {run.state}"
    for before, step in pairwise(run.path):
        if step.source != before.target or (step.source, step.target) not in EDGES:
            yield f"{before.target} to {step.target} is no edge"
        if step.at < before.at:
            yield f"{step.target} lies before {before.target}"


def faults_of(job: Job, runs: tuple[Run, ...]) -> Iterator[str]:
    """What is wrong with the recorded life of a job."""
    if job.state.category is not Category.ENDED:
        yield f"stands in {job.state}"
    if [run.number for run in runs] != list(range(1, len(runs) + 1)):
        yield "its runs are not numbered 1, 2, 3"
    steps = [step for run in runs for step in run.path]
    if [step.seq for step in steps] != list(range(1, len(steps) + 1)):
        yield "its transitions are not numbered 1, 2, 3"
    for run in runs:
        yield from faults_of_run(run)
    if runs[-1].state is not job.state or job.ended_at is None or job.outcome is None:
        yield f"its record says {job.state}, {job.outcome}, ended {job.ended_at}"
    if job.state in (State.ERROR, State.KILLED, State.ABORTED, State.TIMEOUT) and not (job.failure or job.message):
        yield "nobody can say why it failed"

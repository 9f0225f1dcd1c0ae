"""What must be true of every job, whatever it was."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from jobkit import Category, Job, JobKit, Run, State
from jobkit.states import VERBS

EDGES = {(source, verb.target) for verb in VERBS.values() for source in verb.sources}
BIRTHS = {verb.target for verb in VERBS.values() if not verb.sources}
#: Ends that need a reason.
BAD = (State.ERROR, State.KILLED, State.ABORTED, State.TIMEOUT)


def every_job(jobs: JobKit) -> Iterator[Job]:
    """Page by page."""
    page = jobs.query(limit=100)
    yield from page.jobs
    while page.cursor:
        page = jobs.query(limit=100, cursor=page.cursor)
        yield from page.jobs


def faults_of(job: Job, runs: tuple[Run, ...]) -> list[str]:
    """What is wrong with the recorded life of a job that should have ended."""
    steps = [step for run in runs for step in run.path]
    rules = {
        f"it stands in {job.state}": job.state.category is Category.ENDED,
        "its runs are not numbered 1, 2, 3": [run.number for run in runs] == [*range(1, len(runs) + 1)],
        "its transitions are not numbered 1, 2, 3": [step.seq for step in steps] == [*range(1, len(steps) + 1)],
        "its record and its path disagree": runs[-1].state is job.state,
        "its record is not closed": job.ended_at is not None and job.outcome is not None,
        "nobody can say why it failed": job.state not in BAD or bool(job.failure or job.message),
    }
    return [fault for fault, kept in rules.items() if not kept] + [fault for run in runs for fault in _path_faults(run)]


def _path_faults(run: Run) -> Iterator[str]:
    if run.path[0].source is not None or run.path[0].target not in BIRTHS:
        yield f"run {run.number} was born as {run.path[0].target}"
    if run.state.is_live:
        yield f"run {run.number} was left in {run.state}"
    for before, step in pairwise(run.path):
        if step.source != before.target or (step.source, step.target) not in EDGES:
            yield f"{before.target} to {step.target} is no edge"
        if step.at < before.at:
            yield f"{step.target} lies before {before.target}"

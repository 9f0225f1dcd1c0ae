"""The two pages: the list of jobs and one job; what they show comes from the store only."""

from __future__ import annotations

from typing import Any

from jobkit import model
from jobkit.states import Category, State, states
from jobkit.web import text
from jobkit.web.base import JobsHandler
from jobkit.web.path import drawn
from jobkit.web.redact import redacted, redacted_reason
from jobkit.web.view import PAGE, View, slug

#: The newest lines of a job's log that a page shows.
LOG_LINES = 500


class ListPage(JobsHandler):
    """``/jobs``: counters by category, and one page of jobs, newest first."""

    async def show(self, *path: str) -> None:
        """Counters and page, as the filters in the URL say."""
        view = View.read(self.argument)
        jobs = self.jobs
        counts, page = await self.ask(lambda: (jobs.counts(), jobs.query(**view.query())))
        hook = self.application.options.format_task
        found = tuple(redacted(job, hook) for job in page.jobs)
        data = {
            "counts": {state.value: count for state, count in counts.items()},
            "jobs": [job.to_json() for job in found],
            "cursor": page.cursor,
        }
        self.answer(
            "jobkit_list.html",
            data,
            view=view,
            jobs=found,
            cursor=page.cursor,
            categories=_by_category(counts, view),
            counts=_of_category(counts, view.chosen),
            tasks=sorted(name for name in self.capp.tasks if not name.startswith("celery.")),
            page_size=PAGE,
        )


class JobPage(JobsHandler):
    """``/jobs/<id>``: everything that is known of one job."""

    async def show(self, *path: str) -> None:
        """The record, the path of every run, and the newest log lines."""
        jobs, job_id, hook = self.jobs, path[0], self.application.options.format_task
        job, runs, log = await self.ask(lambda: (jobs.get(job_id), jobs.runs(job_id), jobs.log(job_id)))
        job, reason = redacted(job, hook), None
        if job.failure:
            reason = await self.ask(lambda: redacted_reason(jobs.reason(job_id), jobs.get, hook))
        data = {
            "job": job.to_json(),
            "runs": [model.to_json(run) for run in runs],
            "log": [model.to_json(line) for line in log],
            "reason": model.to_json(reason) if reason else None,
        }
        self.answer(
            "jobkit_job.html",
            data,
            job=job,
            runs=drawn(runs, self.now),
            is_cut=bool(runs) and runs[0].path[0].seq > 1,
            because=list(reason.lines())[1:] if reason else [],
            log=log[-LOG_LINES:],
            log_size=len(log),
        )


def _by_category(counts: dict[State, int], view: View) -> list[dict[str, Any]]:
    return [
        {
            "name": category.value,
            "slug": slug(category),
            "tone": text.tone(states(category)[0]),
            "count": sum(counts[state] for state in states(category)),
            "failed": sum(counts[state] for state in states(category) if text.tone(state) == "bad"),
            "chosen": category is view.chosen,
        }
        for category in Category
    ]


def _of_category(counts: dict[State, int], category: Category | None) -> dict[State, int]:
    return {
        state: count for state, count in counts.items() if count and (category is None or state.category is category)
    }

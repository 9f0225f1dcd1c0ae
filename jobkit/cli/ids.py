"""From what people type to one job: a whole id, or its beginning or end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from jobkit.definitions import ID, Definition
from jobkit.errors import DefinitionUnknown, JobUnknown
from jobkit.model import Execution, Job

if TYPE_CHECKING:
    from jobkit import JobKit

#: Fewer characters are not searched for.
MIN_PART = 6
#: A whole UUID is no part of anything.
UUID_LENGTH = 36
#: The search reads at most `PAGES` pages of `PAGE_SIZE` jobs, the newest ones.
PAGE_SIZE, PAGES = 250, 20


def find(jobs: JobKit, typed: str) -> Job:
    """The job whose id is what was typed, or alone begins or ends with it.

    Errors: `JobUnknown`, `JobExpired`, a usage error that names the matches where there are several.
    """
    try:
        return jobs.get(typed)
    except JobUnknown:
        if not MIN_PART <= len(typed) < UUID_LENGTH:
            raise
        matches = {job.id: job for job in _newest(jobs) if job.id.startswith(typed) or job.id.endswith(typed)}
        if not matches:
            raise
    if len(matches) > 1:
        names = "\n".join(f"  {job.id}  {job.state}  {job.task}" for job in matches.values())
        raise click.UsageError(f"{len(matches)} jobs begin or end with {typed!r}; type more of one of them:\n{names}")
    return jobs.get(matches.popitem()[0])  # a page of a query does not have all of a job


def definition_named(jobs: JobKit, typed: str) -> Definition | None:
    """The definition of this id; None if there is none, so that it may be a job's."""
    try:
        return jobs.definitions.get(typed)
    except (DefinitionUnknown, AttributeError):
        return None


def executions_named(jobs: JobKit, typed: str, **filters: Any) -> list[Execution] | None:
    """The executions of a definition of this id, which may have gone; None, if it is a job's."""
    known = getattr(jobs, "definitions", None)
    found: list[Execution] = known.history(typed, **filters) if known and ID.fullmatch(typed) else []
    return found if found or definition_named(jobs, typed) else None


def _newest(jobs: JobKit) -> Iterator[Job]:
    cursor = None
    for _ in range(PAGES):
        page = jobs.query(limit=PAGE_SIZE, cursor=cursor)
        yield from page.jobs
        cursor = page.cursor
        if cursor is None:
            return

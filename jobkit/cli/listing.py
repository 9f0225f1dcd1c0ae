"""``jobs list``: many jobs, one line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from jobkit.cli.group import command, jobs_of, option, screen_of
from jobkit.cli.ids import PAGE_SIZE
from jobkit.cli.screen import Screen
from jobkit.cli.text import Age, JobId, age, said
from jobkit.model import Job
from jobkit.states import State

if TYPE_CHECKING:
    from jobkit import JobKit

_HEADS = ("STATE", "ID", "TASK", "RUN", "OWNER", "FOR", "DONE", "MESSAGE")
_STATE = click.Choice([state.value for state in State], case_sensitive=False)


@command("list")
@option("--state", type=_STATE, metavar="STATE", multiple=True, help="Only jobs in this state; may be given again.")
@option("--task", help="Only jobs of the task with this name.")
@option("--owner", help="Only jobs of this owner.")
@option("--tag", help="Only jobs with this tag.")
@option("--limit", type=click.IntRange(1), metavar="N", default=50, show_default=True, help="At most so many jobs.")
@option("--all", "everything", is_flag=True, help="All jobs, however many.")
def list_(ctx: click.Context, limit: int, everything: bool, **filters: Any) -> None:
    """Jobs, newest first.

    To a pipe: state, id, task, run, owner, seconds in this state, progress, message; tab separated, no head.
    With --json all but the result, which `show` has.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    given = {name: value for name, value in filters.items() if value}
    pages = _pages(kit, None if everything else limit, **given)
    if screen.as_json:
        return screen.json_array(job.to_json() for job in pages)
    if not screen.terminal:
        return screen.table(_HEADS, map(_row, pages))
    found = list(pages)
    screen.table(_HEADS, map(_row, found))
    return _say_what_is_missing(screen, kit, len(found), filtered=bool(given))


def _pages(kit: JobKit, limit: int | None, **given: Any) -> Iterator[Job]:
    """The jobs of a query, page by page."""
    cursor, left = None, limit
    while left is None or left > 0:
        page = kit.query(limit=PAGE_SIZE if left is None else min(left, PAGE_SIZE), cursor=cursor, **given)
        yield from page.jobs
        cursor, left = page.cursor, None if left is None else left - len(page.jobs)
        if cursor is None:
            return


def _row(job: Job) -> tuple[Any, ...]:
    stay = Age(age(job.state_since))
    return job.state, JobId(job.id), job.task, job.run, job.owner, stay, job.progress, said(job)


def _say_what_is_missing(screen: Screen, kit: JobKit, shown: int, filtered: bool) -> None:
    counts = {state: count for state, count in kit.counts().items() if count}
    total = sum(counts.values())
    screen.say()
    if filtered or not total:
        screen.say(f"{shown} of {total:,} jobs" if total else "There are no jobs yet.", dim=True)
        return
    screen.say(f"{shown:,} of {total:,} jobs: " + ", ".join(f"{n:,} {s}" for s, n in counts.items()), dim=True)
    if shown < total:
        screen.say("More: --limit N, or --all. Fewer: --state, --task, --owner, --tag.", dim=True)

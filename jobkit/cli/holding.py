"""Commands about what jobs wait for: locks."""

from __future__ import annotations

from typing import Any

import click

from jobkit.cli.group import command, jobs_of, screen_of
from jobkit.cli.text import JobId
from jobkit.model import to_json

_LOCKS = ("LOCK", "HOLDER", "FENCE", "WAITERS")


@command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
def locks(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Locks that are held or waited for: who has them, and who is next.

    To a pipe: a line per holder with name, id, fence, ids of the waiters in order; tab separated, no head.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = [lock for lock in kit.locks() if not names or lock.name in names]
    if screen.as_json:
        return screen.json([to_json(lock) for lock in found])
    rows: list[tuple[Any, ...]] = []
    for lock in found:
        waiters = tuple(JobId(one).short if screen.terminal else one for one in lock.waiters)
        holders: list[tuple[str, int | None]] = [*lock.holders.items()] or [("", None)]
        rows += [(lock.name, JobId(one), fence, waiters) for one, fence in holders]
    screen.table(_LOCKS, rows)
    if not rows:
        screen.say("No job holds a lock or waits for one.")
    return None

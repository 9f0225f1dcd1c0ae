"""``jobs session``: what an owner has at work, and ending it."""

from __future__ import annotations

import click

from jobkit.cli.group import command, jobs_of, option, screen_of
from jobkit.cli.text import Age, JobId, age, said
from jobkit.model import to_json

_HEADS = ("STATE", "ID", "TASK", "FOR", "MESSAGE")


@command()
@click.argument("owner", metavar="OWNER")
@option("--cancel", is_flag=True, help="He logs out: end all of it.")
@option("--reason", default="its owner has logged out", help="Why; kept in the history.")
def session(ctx: click.Context, owner: str, cancel: bool, reason: str) -> None:
    """What an owner has waiting or running; with --cancel it ends, with all below it.

    To a pipe: state, id, task, seconds in this state, message; tab separated, no head. With --cancel: what was told to
    end, one id a line.
    """
    screen, its = screen_of(ctx), jobs_of(ctx).session(owner)
    if cancel:
        closed = its.close(reason=reason)
        if screen.as_json:
            return screen.json(to_json(closed))
        screen.table(("CANCELLED",), [(JobId(one),) for one in closed.cancelled])
        return screen.say(f"{len(closed.cancelled)} told to end, {len(closed.left)} left: they end already.")
    jobs = its.pending()
    if screen.as_json:
        return screen.json_array(job.to_json() for job in jobs)
    screen.table(_HEADS, [(job.state, JobId(job.id), job.task, Age(age(job.state_since)), said(job)) for job in jobs])
    if not jobs:
        screen.say(f"{owner} has nothing waiting or running.")
    return None

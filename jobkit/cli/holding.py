"""Commands about what jobs wait for: locks and blocks."""

from __future__ import annotations

from typing import Any

import click

from jobkit.cli.changing import seconds
from jobkit.cli.group import command, jobs_of, option, screen_of
from jobkit.cli.text import JobId
from jobkit.model import to_json
from jobkit.store.blocks import KINDS

_BLOCKS = ("KIND", "NAME", "STATE", "WAITING", "UNTIL", "BY", "REASON")
_KIND = click.argument("kind", metavar="KIND", type=click.Choice(KINDS))
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


@command()
def blocks(ctx: click.Context) -> None:
    """What is held back: hosts that are away, and blocked tasks, queues, owners and definitions.

    To a pipe: kind, name, state, jobs that wait, when it lifts itself, by whom, why; tab separated, no head.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = kit.blocks.list()
    if screen.as_json:
        return screen.json([to_json(one) for one in found])
    rows = [(one.kind, one.name, one.state, one.waiting, one.until, one.by, one.reason) for one in found]
    screen.table(_BLOCKS, rows)
    if not rows:
        screen.say("Nothing is blocked.")
    return None


@command()
@_KIND
@click.argument("name", metavar="NAME")
@option("--dormant", is_flag=True, help="Of a host: it sleeps, instead of being offline.")
@option("--reason", default="", help="Why; for people.")
@option("--for", "until", type=seconds, metavar="DURATION", help="Lift it by itself after so long: 90, 5m, 1h30m, 2d.")
def block(ctx: click.Context, kind: str, name: str, dormant: bool, reason: str, until: float | None) -> None:
    """Hold back all jobs of a host, task, queue, owner or definition.

    What runs goes on; what waits, or is submitted meanwhile, is HOST_BLOCKED until it is unblocked.
    """
    state = ("dormant" if dormant else "offline") if kind == "host" else "blocked"
    jobs_of(ctx).blocks.add(reason=reason, until=until, state=state, **{kind: name})


@command()
@_KIND
@click.argument("name", metavar="NAME")
def unblock(ctx: click.Context, kind: str, name: str) -> None:
    """Let the jobs of a host, task, queue, owner or definition go on, in their order."""
    if not jobs_of(ctx).blocks.remove(**{kind: name}):
        screen_of(ctx).say(f"No {kind} {name} is blocked.")

"""Commands about the store: doctor, memory; and what is kept: pin, unpin, forget."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import click

from jobkit.cli import exits
from jobkit.cli.changing import seconds
from jobkit.cli.group import command, job_argument, jobs_of, option, screen_of
from jobkit.cli.ids import find
from jobkit.model import to_json
from jobkit.store.footprint import per_ended_job

_FINDINGS = ("LEVEL", "CHECK", "FOUND", "WHAT TO DO")
_FOOTPRINTS = ("ABOUT", "KIND", "KEYS", "ENTRIES", "BYTES")


@command()
@option("--quick", is_flag=True, help="Do not look at every job.")
def doctor(ctx: click.Context, quick: bool) -> None:
    """What could lose jobs, or has, and what to do about it.

    Version, role, eviction, memory, packing, persistence, durability, clock, schema, rights, workers, and orphans:
    records, indexes, locks, families and definitions that do not fit. The exit code is 1 if something is an error;
    warnings do not change it. To a pipe: level, check, what was found, what to do; tab separated, no head.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = kit.doctor(deep=not quick)
    if screen.as_json:
        screen.json([to_json(one) for one in found])
    else:
        screen.table(_FINDINGS, ((one.level, one.what, one.found, one.do) for one in found), wrap=True)
        errors = sum(one.level == "error" for one in found)
        warnings = sum(one.level == "warning" for one in found)
        screen.say(f"{len(found)} checks, {errors} errors, {warnings} warnings")
    ctx.exit(exits.BAD_END if any(one.level == "error" for one in found) else exits.OK)


@command()
def memory(ctx: click.Context) -> None:
    """What everything jobkit has written takes, by kind of key; and an ended job.

    To a pipe: what it is about, kind, keys, entries, bytes; tab separated, no head.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = list(kit.memory())
    each = per_ended_job(found)
    if screen.as_json:
        return screen.json({"kinds": [to_json(one) for one in found], "bytes_per_ended_job": each and round(each)})
    number: Callable[[int], Any] = (lambda value: f"{value:,}") if screen.terminal else (lambda value: value)
    rows = ((one.about, one.kind, number(one.keys), number(one.entries), number(one.bytes)) for one in found)
    screen.table(_FOOTPRINTS, rows)
    screen.say(f"{sum(one.bytes for one in found):,} bytes" + (f"; an ended job takes {each:,.0f}" if each else ""))
    return None


@command()
@job_argument
@option("--for", "for_", type=seconds, metavar="DURATION", required=True, help="For so long: 90s, 5m, 1h30m, 2d.")
@option("--by", default="", help="Who pins it; this machine unless given.")
def pin(ctx: click.Context, job: str, for_: float, by: str) -> None:
    """Keep a job for a while, whatever its time and however little room there is."""
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = find(kit, job)
    kit.pin(found.id, for_=for_, by=by or _HERE)
    screen.say(f"{found.id} is kept.")


@command()
@job_argument
@option("--by", default="", help="Who pinned it; this machine unless given.")
def unpin(ctx: click.Context, job: str, by: str) -> None:
    """Let a pinned job go: it is kept as long as it would have been."""
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = find(kit, job)
    was = kit.unpin(found.id, by=by or _HERE)
    screen.say(f"{found.id} is let go." if was else f"{found.id} was not pinned from here.")


@command()
@job_argument
def forget(ctx: click.Context, job: str) -> None:
    """Delete the record of an ended job; of a live one only its result so far."""
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = find(kit, job)
    kit.forget(found.id)
    screen.say(f"{found.id} is forgotten." if not found.is_live else f"{found.id} goes on; its result is forgotten.")


#: Each command is a process of its own: what one has pinned another has to find.
_HERE = f"cli@{platform.node()}"

"""Commands that move a job: abort, pause, suspend, resume, reschedule."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import click

from jobkit.cli import exits
from jobkit.cli.group import command, command_of, complain, job_argument, jobs_of, option, screen_of
from jobkit.cli.ids import definition_named, find
from jobkit.cli.screen import Screen
from jobkit.cli.text import ago, moment
from jobkit.definitions import Definition
from jobkit.model import Job
from jobkit.states import State

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def seconds(text: str) -> float:
    """A length of time: ``90``, ``90s``, ``5m``, ``1h30m``, ``2d``."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise click.BadParameter(f"{text!r} is no length of time; write 90, 90s, 5m, 1h30m or 2d.")
    return sum(timedelta(**{_UNITS[unit or "s"]: float(number)}).total_seconds() for number, unit in parts)


def time(text: str) -> datetime:
    """A date and time as ISO 8601; without an offset it is local time."""
    try:
        return datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text)).astimezone()
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time; write 2026-11-22T18:30 or 2026-11-22T18:30:00Z.") from None


@command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@option("--reason", default="", help="Why; kept in the history.")
@option("--grace", type=seconds, metavar="DURATION", help="How long a running job has to end itself.")
def abort(ctx: click.Context, ids: tuple[str, ...], reason: str, grace: float | None) -> None:
    """End jobs: one not yet started is removed, one that runs is told to end, and killed if it does not.

    With several ids each is tried; the exit code is that of the first that could not be.
    """
    kit = jobs_of(ctx)
    _each(ctx, ids, lambda job: kit.abort(job.id, reason=reason, grace=grace))


@command()
@job_argument
@option("--reason", default="", help="Why; kept in the history.")
def pause(ctx: click.Context, job: str, reason: str) -> None:
    """Tell a running job to pause, or have a definition's schedules not fire.

    A job leaves a checkpoint, and goes on from there when it is resumed. A definition can still be queued.
    """
    kit = jobs_of(ctx)
    if definition_named(kit, job):
        return _defined(ctx, kit.definitions.pause(job, reason))
    return _each(ctx, (job,), lambda found: kit.pause(found.id, reason=reason))


@command()
@job_argument
def suspend(ctx: click.Context, job: str) -> None:
    """Take away a job's planned start.

    It keeps all it knows, and waits until it is resumed or rescheduled.
    """
    kit = jobs_of(ctx)
    _each(ctx, (job,), lambda found: kit.suspend(found.id))


@command()
@job_argument
def resume(ctx: click.Context, job: str) -> None:
    """Wake a suspended or paused job, or have a definition's schedules fire again."""
    kit = jobs_of(ctx)
    if definition_named(kit, job):
        return _defined(ctx, kit.definitions.resume(job))
    return _each(ctx, (job,), lambda found: kit.resume(found.id))


@command()
@job_argument
@option("--at", type=time, metavar="TIME", help="At this time (ISO 8601; local where it has no offset).")
@option("--in", "delay", type=seconds, metavar="DURATION", help="In so long: 90, 90s, 5m, 1h30m, 2d; 0 is now.")
def reschedule(ctx: click.Context, job: str, at: datetime | None, delay: float | None) -> None:
    """Change the start time of a waiting job."""
    when = at if delay is None else delay
    if when is None or (at is not None and delay is not None):
        raise click.UsageError("when? Give one of --at TIME and --in DURATION.", ctx)
    kit = jobs_of(ctx)
    _each(ctx, (job,), lambda found: kit.change_start_time(found.id, when))


def _defined(ctx: click.Context, one: Definition) -> None:
    screen, status = screen_of(ctx), one.status
    if screen.as_json:
        return screen.json(one.to_json())
    return screen.table(("ID", "PAUSED"), [(one.id, status.paused if status else "")])


def _each(ctx: click.Context, ids: tuple[str, ...], change: Callable[[Job], Any]) -> None:
    """Change each job and print what became of it; leave with the code of the first failure."""
    kit, command = jobs_of(ctx), command_of(ctx)
    changed: list[Job] = []
    code = exits.OK
    for typed in ids:
        try:
            job = find(kit, typed)
            change(job)
            changed.append(kit.get(job.id))
        except exits.KNOWN as error:
            failed, what, hint = exits.explain(error, command)
            complain(what, hint)
            code = code or failed
    _report(screen_of(ctx), changed, command)
    ctx.exit(code)


def _report(screen: Screen, changed: list[Job], command: str) -> None:
    if screen.as_json:
        return screen.json_array(job.to_json() for job in changed)
    for job in changed:
        start = job.start_at if job.state is State.WAITING_FOR_START else None
        if screen.terminal:
            note = f"it starts at {moment(start)}, {ago(start)}" if start else ""
            click.echo(f"{job.id}  {screen.paint(job.state)}  {screen.style(note, dim=True)}".rstrip())
        else:
            screen.table((), [(job.id, job.state, start)])
    followed = next((job.id for job in changed if job.is_live), None)
    if screen.terminal and followed:
        screen.say(f"Follow it:  {command} watch {followed}", dim=True)
    return None

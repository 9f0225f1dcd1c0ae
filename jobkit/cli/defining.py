"""Commands that show and change definitions: definitions, define, queue, schedule, loglevel."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobkit.cli import exits
from jobkit.cli.changing import seconds, time
from jobkit.cli.group import command, command_of, complain, jobs_of, option, screen_of
from jobkit.cli.ids import definition_named
from jobkit.cli.screen import Screen
from jobkit.definitions import CONFIGURED, Answer, Definition, Enabled, Misfire, Overlap, Queued
from jobkit.model import to_plain

if TYPE_CHECKING:
    from jobkit import JobKit

_HEADS = ("STATE", "ID", "NAME", "TASK", "ENABLED", "NEXT", "FIRED", "FAILED", "PAUSED")
definition_argument = click.argument("definition", metavar="ID")


@command()
@click.argument("ids", metavar="[ID...]", nargs=-1)
@option("--name", default="", help="Only those with this in their name or ID.")
@option("--task", default="", help="Only those of the task with this name.")
@option("--owner", default="", help="Only those of this owner.")
def definitions(ctx: click.Context, ids: tuple[str, ...], name: str, task: str, owner: str) -> None:
    """Definitions: how they stand, and when they run next.

    With IDs, each of them in full. To a pipe: state, id, name, task, enabled, next fire time, slots fired, failures in
    a row, why it is paused; tab separated, no head.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = [kit.definitions.get(one) for one in ids] if ids else kit.definitions.query(name, task, owner)
    if screen.as_json:
        return screen.json_array(one.to_json() for one in found)
    if ids:
        return _in_full(screen, found)
    return screen.table(_HEADS, map(_row, found))


def _row(one: Definition) -> tuple[Any, ...]:
    s, own = one.status, (one.id, one.name, one.task, one.enabled.value)
    return (s.state.value, *own, s.next_at, s.fired, s.failures, s.paused) if s else ("", *own)


def _in_full(screen: Screen, found: Iterable[Definition]) -> None:
    for one in found:
        screen.fields(_described(one))
        screen.say()


def _described(one: Definition) -> Iterator[tuple[str, Any]]:
    plain = one.to_json()
    status = plain.pop("status")
    status.pop("fires")
    for name, value in (status | plain).items():
        yield name, json.dumps(value) if isinstance(value, dict | list) and value else value or None


@command()
@click.argument("id_", metavar="ID", required=False)
@option("--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON: one, or a list.")
@option("--task", help="The name of a Celery task.")
@option("--name", help="For people.")
@option("--data", type=json.loads, metavar="JSON", help="Keyword arguments.")
@option("--schedule", "schedules", multiple=True, metavar="TEXT", help="Five fields, RRULE:…, 90s, 1h30m; repeatable.")
@option("--timezone", help="Where wall clocks are read; the app's by default.")
@option("--backup", "backup_every", type=seconds, metavar="DURATION", help="Without a run for so long there is one.")
@option("--enabled", type=click.Choice([*Enabled.__members__]), help="What may make it run.")
@option("--overlap", type=click.Choice([*Overlap.__members__]), help="What becomes of a slot while it runs.")
@option("--misfire", type=click.Choice([*Misfire.__members__]), help="What becomes of slots that were missed.")
@option("--queue", help="The queue of its jobs.")
@option("--priority", type=click.IntRange(0), help="The priority of its messages.")
@option("--owner", help="Who it is for.")
def define(ctx: click.Context, id_: str | None, path: Path | None, timezone: str | None, **given: Any) -> None:
    """Make a definition, or change one: only what is given.

    With --file all of the file's are written, or none. Prints id and version.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    fields = {name: value for name, value in given.items() if value not in (None, ())}
    if path is not None:
        several = json.loads(path.read_text())
        wanted = several if isinstance(several, list) else [several]
    elif id_:
        fields |= {"schedules": [_timed(text, timezone) for text in given["schedules"]]} if given["schedules"] else {}
        wanted = [{"id": id_, **fields}]
    else:
        raise click.UsageError("which definition? Give its ID, or --file.", ctx)
    written = kit.definitions.update(*(_wanted(ctx, kit, fields) for fields in wanted))
    if screen.as_json:
        return screen.json_array(one.to_json() for one in written)
    return screen.table(("ID", "VERSION"), [(one.id, one.version) for one in written])


def _timed(text: str, timezone: str | None) -> Any:
    try:
        rule: Any = seconds(text)
        kind = "every"
    except click.BadParameter:
        rule, kind = text, "rrule" if "FREQ=" in text.upper() else "crontab"
    return {kind: rule} | ({"timezone": timezone} if timezone else {})


def _wanted(ctx: click.Context, kit: JobKit, fields: dict[str, Any]) -> Definition:
    configured = {name: value for name, value in fields.items() if name in (*CONFIGURED, "schedule")}
    old = definition_named(kit, str(fields.get("id", "")))
    if old is None and not fields.get("task"):
        raise click.UsageError(f"there is no definition {fields.get('id')!r} yet: give the --task of a new one.", ctx)
    new = kit.definitions.made(**{"id": "", "task": old and old.task, **configured})
    return replace(old, **{name: getattr(new, name) for name in configured if name != "id"}) if old else new


@command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@option("--within", type=seconds, metavar="DURATION", help="Only make sure that it runs within so long.")
@option("--high", is_flag=True, help="With the broker's highest priority.")
@option("--reason", default="", help="Why; kept in the history.")
def queue(ctx: click.Context, ids: tuple[str, ...], within: float | None, high: bool, reason: str) -> None:
    """Have definitions run once more: now, or within some time.

    One that is queued is left as it is, one that runs is run once more right after. To a pipe: verdict, id of the job,
    reason; tab separated, no head.
    """
    kit, screen, code = jobs_of(ctx), screen_of(ctx), exits.OK
    answers: list[Answer] = []
    for name in ids:
        try:
            how = kit.definitions
            answers += (
                how.queue_now(name, high=high, reason=reason)
                if within is None
                else [how.queue_within(name, within, reason)]
            )
        except exits.KNOWN as error:
            failed, what, hint = exits.explain(error, command_of(ctx))
            complain(what, hint)
            code = code or failed
    if screen.as_json:
        screen.json_array(to_plain(answer) for answer in answers)
    else:
        rows = [(answer.verdict.value, answer.job_id, answer.reason) for answer in answers]
        screen.table(("VERDICT", "JOB", "WHY"), rows)
    refused = any(answer.verdict is Queued.REFUSED for answer in answers)
    ctx.exit(code or (exits.CONFLICT if refused else exits.OK))


@command()
@click.argument("what", type=click.Choice(["next", "last", "backfill"]))
@definition_argument
@option("--from", "start", type=time, metavar="TIME", help="Where a backfill begins.")
@option("--to", "end", type=time, metavar="TIME", help="Where a backfill ends; now by default.")
def schedule(ctx: click.Context, what: str, definition: str, start: datetime | None, end: datetime | None) -> None:
    """The next or the last ten fire times of a definition, or runs for the slots of a period.

    `next` prints times, `last` times and how many seconds late each fired, `backfill` the ids of the jobs it made.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    one = kit.definitions.get(definition)
    now = datetime.now(timezone.utc)
    if what == "backfill":
        if start is None:
            raise click.UsageError("from when? Give --from TIME.", ctx)
        rows: list[tuple[Any, ...]] = [(job,) for job in kit.definitions.backfill(definition, start, end or now)]
    elif what == "last":
        rows = list(one.status.fires if one.status else ())
    else:
        rows = [(slot,) for slot in one.next_fire_times(now)]
    if screen.as_json:
        return screen.json([to_plain(row if len(row) > 1 else row[0]) for row in rows])
    return screen.table({"next": ("AT",), "last": ("AT", "LATE"), "backfill": ("JOB",)}[what], rows)


@command()
@definition_argument
@click.argument("level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], case_sensitive=False))
@option("--for", "for_", type=seconds, metavar="DURATION", help="For so long; then it is as before.")
def loglevel(ctx: click.Context, definition: str, level: str, for_: float | None) -> None:
    """Change which log lines the jobs of a definition keep, from the next run on."""
    kit, screen = jobs_of(ctx), screen_of(ctx)
    one = kit.definitions.set_log_level(definition, level, for_=for_)
    if screen.as_json:
        return screen.json(one.to_json())
    return screen.table(("ID", "LEVEL"), [(one.id, one.log_level)])

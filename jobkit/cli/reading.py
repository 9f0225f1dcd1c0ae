"""Commands about one job: show, history, log."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import click

from jobkit.cli.changing import time
from jobkit.cli.group import command, command_of, job_argument, jobs_of, option, screen_of
from jobkit.cli.hints import next_steps
from jobkit.cli.ids import executions_named, find
from jobkit.cli.screen import Screen
from jobkit.cli.text import Seconds, age, amount, blame, clean
from jobkit.model import Execution, Job, Run, to_json

#: Log lines `show` prints; `log` prints them all.
LAST_LINES = 10


@command()
@job_argument
def show(ctx: click.Context, job: str) -> None:
    """One job in full, and what to do next.

    Its state, its result or its failure with the traceback, its last log lines. To a pipe: a name and a value a line.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = find(kit, job)
    lines = kit.log(found.id)[-LAST_LINES:]
    if screen.as_json:
        reason = to_json(kit.reason(found.id, LAST_LINES)) if found.failure else None
        return screen.json({**found.to_json(), "log": [to_json(line) for line in lines], "reason": reason})
    screen.fields(_described(found))
    if screen.terminal and found.failure and found.failure.traceback:
        screen.paragraph("Traceback", map(clean, found.failure.traceback.splitlines()))
    if screen.terminal and lines:
        screen.paragraph("Last log lines", map(screen.log_line, lines))
    if screen.terminal and (found.failed_child or found.failed_compensations):
        screen.paragraph("Because of", map(clean, list(kit.reason(found.id, 0).lines())[1:]))
    screen.say()
    for step in next_steps(found, command_of(ctx)):
        screen.say(step)
    return None


def _described(job: Job) -> Iterator[tuple[str, Any]]:
    """The fields of a job as `show` prints them, the important ones first."""
    yield "state", job.state
    yield "outcome", job.outcome
    failure = blame(job.failure) if job.failure else None
    yield "message", job.message if not failure or job.message not in failure else None
    yield "failure", failure
    yield "failed child", job.failed_child
    yield "failed compensations", job.failed_compensations
    yield "held back by", job.blocked_by
    yield "host", job.host
    yield "locks", tuple(lock.name for lock in job.locks)
    yield "progress", f"{amount(job.progress)} {job.progress.message}".strip() if job.progress else None
    yield "result", None if job.result is None else repr(job.result)
    yield from ((name, getattr(job, name)) for name in ("id", "task", "args", "kwargs", "run", "retries"))
    yield from ((name, getattr(job, name)) for name in ("owner", "tags"))
    yield "since", job.state_since
    yield from ((name, getattr(job, f"{name}_at")) for name in ("submitted", "start", "started", "ended", "expires"))
    yield "waited", _between(job.submitted_at, job.started_at)
    yield "ran", _between(job.started_at, job.ended_at)
    yield from ((name, getattr(job, name)) for name in ("source", "queue", "worker", "pid"))
    yield from ((name, getattr(job, f"{name}_id")) for name in ("after", "parent", "root"))
    yield "checkpoint", "kept" if job.has_checkpoint else None
    yield from job.extra.items()


def _between(start: datetime | None, end: datetime | None) -> Seconds | None:
    return age(start, end) if start and end else None


@command()
@job_argument
@option("--result", help="Of a definition: only executions with this outcome, such as FAILED.")
@option("--since", type=time, metavar="TIME", help="Of a definition: only what ended at this time or later.")
@option(
    "--limit", type=click.IntRange(1), metavar="N", default=50, show_default=True, help="Of a definition: how many."
)
def history(ctx: click.Context, job: str, **filters: Any) -> None:
    """Every transition of every run of a job, or the executions of a definition.

    From where to where, when, for how long, by whom and why. To a pipe: run, time, from, to, seconds in that state,
    by, reason; tab separated, no head. Of a definition: when it ended, outcome, seconds queued, seconds it ran, run,
    agent, source, message; newest first, from Redis and the archive, also where the definition is there no more.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    executions = executions_named(kit, job, **filters)
    if executions is not None:
        return _print_executions(screen, executions)
    found = find(kit, job)
    runs = kit.runs(found.id)
    if screen.as_json:
        return screen.json({"id": found.id, "runs": [_run_json(run) for run in runs]})
    return print_history(screen, runs)


def _print_executions(screen: Screen, executions: Iterable[Execution]) -> None:
    if screen.as_json:
        return screen.json_array(map(to_json, executions))
    heads = ("ENDED", "OUTCOME", "WAITED", "RAN", "RUN", "AGENT", "SOURCE", "MESSAGE")
    return screen.table(heads, map(_execution_row, executions), wrap=True)


def _execution_row(one: Execution) -> tuple[Any, ...]:
    waited, ran = _between(one.queued_at, one.started_at), _between(one.started_at, one.ended_at)
    return one.ended_at, one.outcome, waited, ran, one.run, one.agent, one.source, one.message


def print_history(screen: Screen, runs: Iterable[Run]) -> None:
    """A table of every transition; for people without the state it came from: that is in the line above."""
    rows: Iterable[tuple[Any, ...]] = itertools.chain.from_iterable(map(_run_rows, runs))
    if screen.terminal:
        rows = ((run, at, *rest) for run, at, _, *rest in rows)
    screen.table(("RUN", "AT", "STATE", "FOR", "BY", "WHY"), rows, wrap=True)


def _stays(run: Run) -> Iterator[Seconds | None]:
    """How long the run stood in each state of its path; None for where it stands."""
    for step, following in itertools.zip_longest(run.path, run.path[1:]):
        yield age(step.at, following.at) if following else None


def _run_rows(run: Run) -> Iterator[tuple[Any, ...]]:
    for t, stay in zip(run.path, _stays(run), strict=True):
        yield t.run, t.at, t.source, t.target, stay, t.by, t.reason


def _run_json(run: Run) -> dict[str, Any]:
    path = [{**to_json(step), "seconds": stay} for step, stay in zip(run.path, _stays(run), strict=True)]
    return {"number": run.number, "state": run.state.value, "path": path}


@command()
@job_argument
def log(ctx: click.Context, job: str) -> None:
    """The lines a job logged.

    To a pipe: time, run, level, message; tab separated, no head.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = find(kit, job)
    lines = kit.log(found.id)
    if screen.as_json:
        return screen.json([to_json(line) for line in lines])
    if screen.terminal:
        for line in lines:
            click.echo(screen.log_line(line))
    else:
        screen.table((), ((line.at, line.run, line.level, line.message) for line in lines))
    if not lines:
        screen.say("It logged nothing: a task body does so by self.job.log(message).")
    return None

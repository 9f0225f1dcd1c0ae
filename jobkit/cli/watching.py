"""``jobs watch``: transitions as they happen."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from jobkit.cli import exits
from jobkit.cli.group import command, jobs_of, option, screen_of
from jobkit.cli.ids import find
from jobkit.cli.screen import Screen
from jobkit.cli.text import JobId
from jobkit.errors import JobNotFound
from jobkit.model import Job, Transition, to_json
from jobkit.states import State

if TYPE_CHECKING:
    from jobkit import JobKit

#: Seconds between two looks at a job's progress.
REDRAW = 0.2

_SECONDS = click.FloatRange(min=0, min_open=True)

Change = tuple[str, Transition]


@command()
@click.argument("job", metavar="[ID]", required=False)
@option("--timeout", type=_SECONDS, metavar="SECONDS", help="Leave with code 124 after so long.")
def watch(ctx: click.Context, job: str | None, timeout: float | None) -> None:
    """Follow one job to its end, or all jobs until Ctrl-C.

    The exit code is 0 when the job finished and 1 when it ended badly. To a pipe: time, id, run, from, to, by,
    reason; one line a change, tab separated. With --json one object a line.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = find(kit, job) if job else None
    changes = kit.watch(found.id if found else None, timeout=timeout)
    try:
        last = _draw(screen, kit, found, changes) if found and screen.rich else _print(screen, changes)
    except TimeoutError:
        screen.say(f"Left after {timeout:g} seconds." if not found else f"Not ended after {timeout:g} seconds.")
        ctx.exit(exits.TIMEOUT)
    ctx.exit(exits.OK if last is State.FINISHED else exits.BAD_END)


def _print(screen: Screen, changes: Iterator[Change]) -> State | None:
    """One line a change; returns the last state."""
    state = None
    for job_id, step in changes:
        state = step.target
        if screen.as_json:
            screen.json_line({"id": job_id, **to_json(step)})
        elif screen.terminal:
            screen.change(job_id, step)
        else:
            screen.table((), [(step.at, JobId(job_id), step.run, step.source, step.target, step.by, step.reason)])
    return state


def _draw(screen: Screen, kit: JobKit, job: Job, changes: Iterator[Change]) -> State | None:
    """A live picture of one job; returns its last state."""
    from rich.live import Live

    from jobkit.cli.live import one_job

    path: list[Transition] = []
    with Live(console=screen.rich, auto_refresh=False) as live:
        for step in _with_ticks(changes):
            path += [step] if step else []
            job = _again(kit, job)
            live.update(one_job(job, path), refresh=True)
    return path[-1].target if path else None


def _again(kit: JobKit, job: Job) -> Job:
    try:
        return kit.get(job.id)
    except JobNotFound:
        return job


def _with_ticks(changes: Iterator[Change]) -> Iterator[Transition | None]:
    """The transitions as they come, and None every `REDRAW` seconds while none does."""
    inbox: queue.SimpleQueue[Transition | Exception | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for _, step in changes:
                inbox.put(step)
            inbox.put(None)
        except Exception as error:  # raised again below, in the thread that can tell the user
            inbox.put(error)

    threading.Thread(target=read, daemon=True, name="jobkit-watch").start()
    while True:
        try:
            step = inbox.get(timeout=REDRAW)
        except queue.Empty:
            yield None
            continue
        if isinstance(step, Exception):
            raise step
        if step is None:
            return
        yield step

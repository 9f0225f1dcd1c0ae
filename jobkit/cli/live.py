"""Moving pictures of jobs for a terminal, drawn by rich; imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobkit.cli.text import age, amount, clean, colour, duration, said
from jobkit.model import Job, Transition

BAR_WIDTH = 24


def bar(job: Job) -> RenderableType:
    """The progress of a job as a bar; pulsing where its total is not known."""
    if job.progress is None:
        return Text("")
    fraction = job.progress.fraction
    finished = "green" if not job.is_live else "cyan"
    return ProgressBar(
        total=None if fraction is None and job.is_live else 1.0,
        completed=fraction or 0.0,
        width=BAR_WIDTH,
        complete_style=finished,
        finished_style=finished,
        pulse_style="cyan",
    )


def path(transitions: Iterable[Transition]) -> Text:
    """The states a run went through, each with how long it stood there: ``QUEUED 0.1 s → RUNNING 4 s → FINISHED``."""
    steps = list(transitions)
    line = Text()
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        line.append(step.target.value, style=colour(step.target))
        if following:
            line.append(f" {duration(age(step.at, following.at))}", style="dim")
            line.append(" → ", style="dim")
    return line


def one_job(job: Job, transitions: Sequence[Transition]) -> RenderableType:
    """A job that is watched: what it is, how far it is, and the path of each of its runs."""
    head = Text.assemble((clean(job.task), "bold"), "  ", job.id, (f"  {clean(job.owner)}", "dim"))
    runs = Table.grid(padding=(0, 2, 0, 0))
    for number in sorted({step.run for step in transitions}):
        runs.add_row(Text(f"run {number}", style="dim"), path(step for step in transitions if step.run == number))
    return Group(head, runs, _progress_line(job))


def _progress_line(job: Job) -> RenderableType:
    line = Table.grid(padding=(0, 2, 0, 0))
    cells: list[RenderableType] = []
    if job.progress:
        percent = "" if job.progress.fraction is None else f"{job.progress.fraction:.0%}"
        cells += [bar(job), Text(percent, style="bold"), Text(amount(job.progress))]
    if job.started_at:
        cells.append(Text(duration(age(job.started_at, job.ended_at)), style="dim"))
    message = Text(clean(said(job)), overflow="ellipsis", no_wrap=True)
    line.add_row(*cells, message)
    return line


def many_jobs(jobs: Iterable[tuple[str, Job]]) -> RenderableType:
    """A table of jobs that run beside each other, each with a name, its state, its bar and what it says."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    for head in ("STATE", "JOB", "", "TIME"):
        table.add_column(head, no_wrap=True)
    table.add_column("MESSAGE", no_wrap=True, overflow="ellipsis", ratio=1)
    for name, job in jobs:
        time = duration(age(job.started_at, job.ended_at)) if job.started_at else ""
        state = Text(job.state.value, style=colour(job.state))
        table.add_row(state, clean(name), bar(job), time, Text(clean(said(job))))
    return table

"""The group of commands, and what they have in common: the app's jobs, the screen, the way errors leave.

This package is imported on every ``celery`` command: nothing slow belongs at the top of its modules.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from celery.bin.base import CeleryCommand, CeleryOption
from click_didyoumean import DYMGroup  # type: ignore[import-untyped, unused-ignore]

from jobkit.cli import exits
from jobkit.cli.screen import Screen

if TYPE_CHECKING:
    from jobkit import JobKit

F = TypeVar("F", bound=Callable[..., Any])

_OUTPUT = "Output options"


class JobsGroup(DYMGroup):  # type: ignore[misc, unused-ignore]
    """A click group that turns jobkit's errors into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; leave with the code of `jobkit.cli.exits`."""
        try:
            return super().invoke(ctx)
        except exits.KNOWN as error:
            code, what, hint = exits.explain(error, command_of(ctx))
            complain(what, hint)
        except KeyboardInterrupt:
            code = exits.INTERRUPTED
        ctx.exit(code)


def complain(what: str, hint: str = "") -> None:
    """Say on stderr what went wrong, and what to do next."""
    screen = Screen()
    screen.say(f"Error: {what}", fg="red")
    if hint:
        screen.say(hint)


def command_of(ctx: click.Context) -> str:
    """How to call this group again: ``celery -A shop jobs``."""
    words: list[str] = []
    while ctx.parent and not isinstance(ctx.command, JobsGroup):
        ctx = ctx.parent
    for step in (*_parents(ctx), ctx):
        app = step.params.get("app")
        words += [step.info_name or "", *(["-A", app] if isinstance(app, str) else [])]
    return " ".join(words)


def _parents(ctx: click.Context) -> list[click.Context]:
    return [*_parents(ctx.parent), ctx.parent] if ctx.parent else []


def jobs_of(ctx: click.Context) -> JobKit:
    """The `JobKit` of the app the command was called with.

    Errors: a usage error when the app has none.
    """
    app = ctx.obj.app
    jobs: JobKit | None = getattr(app, "jobkit", None)
    if jobs is not None:
        return jobs
    if not any(step.params.get("app") for step in _parents(ctx)):
        raise click.UsageError("which app? Name its module: -A MODULE, or the environment variable CELERY_APP.", ctx)
    raise click.UsageError(f"the app {app.main!r} has no JobKit. Where it is made, add: jobs = JobKit(app)", ctx)


def screen_of(ctx: click.Context) -> Screen:
    """The screen of this command: its own ``--json`` and ``--no-color``, and Celery's ``--no-color``."""
    no_color = ctx.params.get("no_color") or ctx.obj.no_color
    return Screen(as_json=bool(ctx.params.get("as_json")), no_color=bool(no_color))


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """An option as Celery's own commands have them, under the heading "Jobs options"."""
    return click.option(*names, cls=CeleryOption, help_group=settings.pop("help_group", "Jobs options"), **settings)


def command(name: str | None = None) -> Callable[[Callable[..., None]], click.Command]:
    """A command of `jobs` with the options all of them have; its function gets the context and its own options."""

    def make(function: Callable[..., None]) -> click.Command:
        @option("-j", "--json", "as_json", is_flag=True, help="Print JSON.", help_group=_OUTPUT)
        @option("--no-color", is_flag=True, help="No colours; NO_COLOR does the same.", help_group=_OUTPUT)
        @functools.wraps(function)
        def run(ctx: click.Context, /, as_json: bool, no_color: bool, **own: Any) -> None:
            function(ctx, **own)

        return jobs.command(name, cls=CeleryCommand)(click.pass_context(run))

    return make


job_argument = click.argument("job", metavar="ID")


@click.group(cls=JobsGroup, name="jobs")
@click.pass_context
def jobs(ctx: click.Context, /, **preload: Any) -> None:
    """See and steer the jobs of this app.

    Wherever an ID is asked for, its first or last 6 characters (or more) will do.
    """

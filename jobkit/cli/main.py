"""The console script ``jobkit``: the commands of ``celery jobs``, and ``demo``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from celery.app.utils import find_app
from celery.bin.base import CeleryCommand, CLIContext

from jobkit import __version__
from jobkit.cli import jobs
from jobkit.cli.group import JobsGroup, option


@click.group(cls=JobsGroup, name="jobkit", context_settings={"auto_envvar_prefix": "JOBKIT"})
@option("-A", "--app", envvar=["JOBKIT_APP", "CELERY_APP"], metavar="MODULE", help="The module of the Celery app.")
@option("-C", "--no-color", is_flag=True, help="No colours; NO_COLOR does the same.")
@click.version_option(__version__, prog_name="jobkit")
@click.pass_context
def jobkit(ctx: click.Context, app: str | None, no_color: bool) -> None:
    """See and steer the jobs of a Celery app.

    The same commands as `celery -A MODULE jobs`, and a demonstration that needs nothing: `jobkit demo`.
    Wherever an ID is asked for, its first or last 6 characters (or more) will do.
    """
    ctx.obj = CLIContext(app=_load(app) if app else None, no_color=no_color, workdir=None)


def _load(name: str) -> object:
    try:
        return find_app(name)
    except ModuleNotFoundError as error:
        raise click.UsageError(f"cannot load the app {name!r}: there is no module {error.name!r} here.") from error
    except AttributeError as error:
        raise click.UsageError(f"cannot load the app {name!r}: {error}") from error


@jobkit.command(cls=CeleryCommand)
@option(
    "--list",
    "list_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Create these disks: a .csv with the head name,size, or a .json list.",
)
@option("--stay", is_flag=True, help="Keep everything up until Ctrl-C.")
@click.pass_context
def demo(ctx: click.Context, list_path: Path | None, stay: bool) -> None:
    """Show jobkit at work on this machine.

    A Redis of its own, two workers, a beat, Flower and real jobs: it needs no set-up, takes seconds and leaves nothing
    behind.
    """
    from jobkit.demo import run

    ctx.exit(run(list_path=list_path, stay=stay, no_color=ctx.obj.no_color))


for _command in jobs.commands.values():
    jobkit.add_command(_command)


def main() -> None:
    """Run ``jobkit``; leave with the exit codes of `jobkit.cli.exits`."""
    sys.exit(jobkit())


if __name__ == "__main__":
    main()

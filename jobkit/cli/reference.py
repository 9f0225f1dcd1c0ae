"""The reference of the command line as Markdown: ``python -m jobkit.cli.reference > docs/cli.md``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from jobkit.cli.exits import MEANINGS
from jobkit.cli.main import demo, jobkit

_HEAD = """\
# Command line

Printed from the commands by `make docs`; a test compares the two.

Every command works as `celery -A MODULE jobs COMMAND` and as `jobkit -A MODULE COMMAND`; `jobkit demo` needs no
app. Data goes to standard output, messages go to standard error. A terminal gets tables in colours (drawn by
rich where that is installed), a pipe tab separated lines with ISO 8601 times in
UTC, `--json` one JSON document, or one per line for `watch`.

Wherever an ID is asked for, its first or last 6 characters (or more) will do.

## Exit codes

| code | meaning |
|---:|---|
"""


def reference() -> str:
    """The whole of ``docs/cli.md``."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in MEANINGS.items())
    commands = [jobkit.commands[name] for name in jobkit.list_commands(click.Context(jobkit)) if name != demo.name]
    return "\n".join([_HEAD + codes, *map(_section, commands), _section(demo, "jobkit")])


def _section(command: click.Command, group: str = "celery -A MODULE jobs") -> str:
    usage = " ".join(command.collect_usage_pieces(click.Context(command)))
    options = "".join(f"| {names} | {meaning} |\n" for names, meaning in _options(command))
    text = inspect.cleandoc(command.help or "")
    head = f"## {command.name}\n\n```\n{group} {command.name} {usage}\n```\n"
    return f"{head}\n{text}\n\n| option | meaning |\n|---|---|\n{options}"


def _options(command: click.Command) -> Iterator[tuple[str, str]]:
    context = click.Context(command)
    for option in command.params:
        if isinstance(option, click.Option):
            value = "" if option.is_flag else f" {option.make_metavar(context)}"
            default = f" Default: {option.default}." if option.show_default else ""
            yield f"`{', '.join(option.opts)}{value}`", f"{option.help}{default}"


if __name__ == "__main__":
    click.echo(reference(), nl=False)

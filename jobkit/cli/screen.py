"""Where the commands print: data on stdout, messages on stderr, each in the way its reader needs it.

A terminal gets aligned tables in colours, a pipe tab separated lines without a head, ``--json`` one JSON document,
or one per line for streams.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from jobkit.cli import grid
from jobkit.cli.text import JobId, ago, clean, colour, for_people, for_pipes, moment
from jobkit.model import LogLine, Transition
from jobkit.states import ABOUT, State

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of a terminal that is none.
_WIDE = 120
_LEVELS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


class Screen:
    """The output of one command.

    Parameters: `as_json`: programs read it; `no_color`: no colours even on a terminal (as is NO_COLOR); `for_people`:
    print as to a terminal, without colours and movement, even where there is none.
    """

    def __init__(self, *, as_json: bool = False, no_color: bool = False, for_people: bool = False) -> None:
        self.as_json, self._live = as_json, sys.stdout.isatty() and not as_json
        self.terminal = self._live or for_people
        self.colours = self._live and not no_color and not os.environ.get("NO_COLOR")

    @cached_property
    def rich(self) -> Console | None:
        """A rich console, or None where rich is not installed or nobody would see it."""
        if not self._live:
            return None
        try:
            from rich.console import Console
        except ImportError:
            return None
        return Console(no_color=not self.colours, highlight=False, markup=False, emoji=False)

    def json(self, value: Any) -> None:
        """One document."""
        click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))

    def json_line(self, value: Any) -> None:
        """One line of a stream."""
        click.echo(json.dumps(value, default=str, ensure_ascii=False))

    def json_array(self, values: Iterable[Any]) -> None:
        """An array, written while it is read: it may be longer than the memory."""
        begin = "[\n"
        for value in values:
            click.echo(begin + json.dumps(value, default=str, ensure_ascii=False), nl=False)
            begin = ",\n"
        click.echo("\n]" if begin == ",\n" else "[]")

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[Any]], *, wrap: bool = False) -> None:
        """Rows under heads, each value printed by its type (`jobkit.cli.text`); a pipe gets each row as it comes.

        Parameters: `wrap`: a last column that is too long for the terminal goes on below, instead of being cut.
        """
        if not self.terminal:
            for row in rows:
                click.echo("\t".join(for_pipes(value) for value in row))
            return
        heads, table = grid.without_empty_columns(heads, list(rows), for_people)
        if table:
            texts = [[for_people(value) for value in row] for row in table]
            lines = grid.layout(heads, texts, columns=self._columns, wrap=wrap)
            click.echo(self.style("  ".join(next(lines)).rstrip(), bold=True))
            for row, cells in grid.beside(table, lines):
                click.echo("  ".join(map(self.paint, row, cells)).rstrip())

    def fields(self, pairs: Iterable[tuple[str, Any]]) -> None:
        """Names and values below each other; empty values are left out for people."""
        if not self.terminal:
            for name, value in pairs:
                click.echo(f"{name}\t{for_pipes(value)}")
            return
        shown = [(name, value) for name, value in pairs if value not in (None, "", ())]
        width = max(len(name) for name, _ in shown)
        for name, value in shown:
            begin, *rest = textwrap.wrap(for_people(value), max(20, self._columns - width - 4)) or [""]
            first = f"{self.paint(value, begin)}  {self.style(_note(value), dim=True)}".rstrip()
            click.echo(f"  {self.style(name.ljust(width), dim=True)}  {first}")
            for line in rest:
                click.echo(" " * (width + 4) + line)

    @property
    def _columns(self) -> int:
        return shutil.get_terminal_size().columns if self._live else _WIDE

    def paragraph(self, head: str, lines: Iterable[str]) -> None:
        """Lines under a head, indented, for people."""
        click.echo(f"\n  {self.style(head, bold=True)}")
        for line in lines:
            click.echo(f"    {line}")

    def log_line(self, line: LogLine) -> str:
        """One line a job logged, for people."""
        level = self.style(line.level.ljust(7), fg=_LEVELS.get(line.level))
        return f"{self.style(moment(line.at), dim=True)}  {level}  {clean(line.message)}"

    def change(self, job_id: str, step: Transition) -> None:
        """One transition of one of many jobs, for people."""
        at, short = self.style(moment(step.at), dim=True), self.paint(JobId(job_id))
        source = f"{self.paint(step.source)} → " if step.source else ""
        why = self.style("  ".join(filter(None, (clean(step.by), clean(step.reason)))), dim=True)
        click.echo(f"{at}  {short}  run {step.run}  {source}{self.paint(step.target)}  {why}")

    def paint(self, value: Any, text: str | None = None) -> str:
        """A value for people: a state in its colour, an id in bold."""
        text = for_people(value) if text is None else text
        if isinstance(value, State):
            return self.style(text, fg=colour(value))
        return self.style(text, bold=True) if isinstance(value, JobId) else text

    def style(self, text: str, **style: Any) -> str:
        """`text` in click's `style`, where colours are wanted."""
        return click.style(text, **style) if self.colours and text else text

    def say(self, message: str = "", **style: Any) -> None:
        """A message to people, on stderr."""
        styled = bool(style) and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        click.echo(click.style(message, **style) if styled else message, err=True)


def _note(value: Any) -> str:
    if isinstance(value, State):
        return ABOUT[value].meaning
    return ago(value) if isinstance(value, datetime) else ""

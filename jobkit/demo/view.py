"""What people see of the demonstration: moving pictures on a terminal, lines that stay anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import click

from jobkit.cli.screen import Screen
from jobkit.cli.text import moment, said

if TYPE_CHECKING:
    from jobkit.demo.disks import Disks

#: A longer command does not widen the column.
MAX_COMMAND = 72


class View:
    """The screen of the demonstration."""

    def __init__(self, *, no_color: bool = False) -> None:
        self.screen = Screen(no_color=no_color, for_people=True)

    def title(self, text: str) -> None:
        """The first line."""
        self._print(f"\n {self.screen.style(text, bold=True)}\n")

    def part(self, name: str, address: str, remark: str) -> None:
        """One line of the list of what runs."""
        name, address = name.ljust(10), address.ljust(32)
        self._print(f"   {name} {self.screen.style(address, fg='cyan')} {self.screen.style(remark, dim=True)}")

    def heading(self, text: str) -> None:
        """What comes next."""
        self._print(f"\n {self.screen.style(text, bold=True)}\n")

    def note(self, text: str) -> None:
        """A remark."""
        self._print(f"\n {self.screen.style(text, dim=True)}")

    def commands(self, lines: Sequence[tuple[str, str]]) -> None:
        """Commands to paste, each with what it does."""
        lengths = (len(command) for command, remark in lines if remark)
        width = max((length for length in lengths if length <= MAX_COMMAND), default=0)
        for command, remark in lines:
            note = self.screen.style(f"# {remark}", dim=True) if remark else ""
            self._print(f"   {command.ljust(width)}  {note}".rstrip())

    def busy(self, text: str) -> AbstractContextManager[object]:
        """A spinner on a terminal."""
        return self.screen.rich.status(text, spinner="dots") if self.screen.rich else nullcontext()

    @contextmanager
    def jobs(self, disks: Disks) -> Iterator[Callable[[], None]]:
        """Show the jobs; what is yielded shows them as they are now."""
        if not self.screen.rich:
            yield _Lines(disks, self._print).update
            return
        from rich.live import Live
        from rich.padding import Padding

        from jobkit.cli.live import many_jobs

        with Live(console=self.screen.rich, auto_refresh=False, vertical_overflow="visible") as live:
            yield lambda: live.update(Padding(many_jobs(disks.table), (0, 0, 0, 3)), refresh=True)

    def _print(self, text: str) -> None:
        click.echo(text)


class _Lines:
    """One line for each transition."""

    def __init__(self, disks: Disks, write: Callable[[str], None]) -> None:
        self._disks, self._write = disks, write
        self._told: dict[str, int] = {}

    def update(self) -> None:
        """Write what has happened since the last call."""
        for name, job in self._disks.table:
            for step in self._disks.path_of(job)[self._told.get(job.id, 0) :]:
                self._told[job.id] = step.seq
                what = said(job) if not step.target.is_live else ""
                self._write(f"   {moment(step.at)}  {name:20}  {step.target:24}  {what}".rstrip())

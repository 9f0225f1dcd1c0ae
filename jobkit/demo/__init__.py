"""``jobkit demo``: everything jobkit is made of, at work on this machine for a few seconds, and then gone."""

from __future__ import annotations

from pathlib import Path

import click

from jobkit.cli import exits
from jobkit.cli.group import complain
from jobkit.demo.course import FAREWELL, play
from jobkit.demo.interrupts import Interrupts
from jobkit.errors import JobkitError


def run(*, list_path: Path | None = None, stay: bool = False, no_color: bool = False) -> int:
    """Run the demonstration and return its exit code.

    Parameters: a list of disks of one's own; `stay`, to keep everything up until Ctrl-C; `no_color`.
    Returns: 0; 1 when something did not start or a job failed; 2 for a list that cannot be read; 130 after Ctrl-C.
    However it ends, no process and no file of it is left, but for one log after a failure.
    """
    with Interrupts() as interrupts:
        try:
            finished = play(list_path, interrupts, stay=stay, no_color=no_color)
            interrupts.release()
            return exits.OK if finished else exits.BAD_END
        except KeyboardInterrupt:
            click.echo(f"\n {FAREWELL}", err=True)
            return exits.INTERRUPTED
        except JobkitError as error:
            complain(str(error))
            return exits.BAD_END
        except (ValueError, OSError) as error:
            complain(str(error))
            return exits.USAGE

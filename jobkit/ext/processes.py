"""What a killed job leaves behind: the processes it has started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def family(pid: int) -> Iterator[None]:
    """What this process has started goes after it, however deep; one that has left it (a daemon) is not found."""
    try:
        started = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    yield
    for process in started:
        with suppress(psutil.NoSuchProcess):
            process.kill()

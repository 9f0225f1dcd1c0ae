"""The course of the demonstration: start everything, run the disk jobs, show a history, say what to try next."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

from jobkit import __version__
from jobkit.demo import ending, stack
from jobkit.demo.disks import Disks
from jobkit.demo.interrupts import Interrupts
from jobkit.demo.stack import Process
from jobkit.demo.view import View
from jobkit.embedded import EmbeddedRedis

#: Seconds between two looks at the jobs.
LOOK = 0.15
#: Seconds without any change after which something must be wrong.
STALL = 60.0
#: The last line.
FAREWELL = "Everything is stopped and removed."


def play(list_path: Path | None, interrupts: Interrupts, *, stay: bool, no_color: bool) -> bool:
    """The whole demonstration; True when every job finished.

    Raises `NotUp` when a process does not start or ends, `EmbeddedServerError`, ValueError or OSError for a bad list.
    """
    view = View(no_color=no_color)
    disks = Disks(list_path)
    view.title(f"jobkit {__version__} · celery {version('celery')} · python {platform.python_version()}")
    with ExitStack() as closing:
        server = closing.enter_context(EmbeddedRedis())
        os.environ["CELERY_BROKER_URL"] = os.environ["CELERY_RESULT_BACKEND"] = server.url
        view.part("Redis", f"127.0.0.1:{server.port}", f"{server.flavour}, a server of its own")
        folder = server.directory / "demo"  # the server's guard removes it even when we are killed
        folder.mkdir()
        processes = closing.enter_context(_started(folder, view, interrupts))
        finished = _follow(disks, folder, processes, view)
        ending.show_history(disks, view)
        ending.say_what_next(disks, view, server.url if stay else None, processes)
        while stay:
            _check(processes)
            time.sleep(LOOK)
    view.note(FAREWELL)
    return finished


@contextmanager
def _started(folder: Path, view: View, interrupts: Interrupts) -> Iterator[list[Process]]:
    """Workers, a beat and Flower: all begin at once, each is announced when it is ready."""
    processes: list[Process] = []
    try:
        interrupts.hold()
        processes.append(stack.worker(1, folder))
        processes.append(stack.worker(2, folder))
        processes.append(stack.beat(folder))
        if stack.has_flower():
            processes.append(stack.flower(folder))
        interrupts.release()
        for process in processes:
            with view.busy(f"{process.name} is starting"):
                process.wait_until_ready()
            view.part(process.name, process.address, f"ready in {process.took:.1f} s")
        if not stack.has_flower():
            view.part("Flower", "not installed", "pip install 'celery-jobkit[flower]'")
        yield processes
    finally:
        interrupts.hold()  # to the end: the server is stopped next
        with view.busy("Stopping everything"):
            stack.stop(processes)


def _follow(disks: Disks, folder: Path, processes: list[Process], view: View) -> bool:
    """Submit the jobs and show them until all have ended; True when all finished."""
    view.heading(disks.headline)
    disks.submit(folder)
    before, changed = disks.look(), time.monotonic()
    with view.jobs(disks) as update:
        while disks.are_live:
            update()
            time.sleep(LOOK)
            _check(processes)
            if before != (before := disks.look()):
                changed = time.monotonic()
            elif time.monotonic() - changed > STALL:
                raise processes[0].failure(f"did nothing for {STALL:g} seconds")
        update()
    return disks.all_finished


def _check(processes: list[Process]) -> None:
    for process in processes:
        process.check()

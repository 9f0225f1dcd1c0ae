"""The last part of the demonstration: one job's history, and what to try next."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from jobkit.cli.reading import print_history
from jobkit.cli.text import JobId, said
from jobkit.demo import examples
from jobkit.demo.disks import Disks
from jobkit.demo.stack import Process
from jobkit.demo.view import View
from jobkit.states import State

_MODULES = {"jobkit": "jobkit.cli.main", "celery": "celery"}


def show_history(disks: Disks, view: View) -> None:
    """The failures, if any, and the history of the job that waited for another."""
    for name, job in disks.table:
        if job.state is not State.FINISHED:
            view.note(f"{name} ended as {job.state}: {said(job)}")
    name, job = disks.last
    view.heading(f"The history of {name}, job {job.id}")
    print_history(view.screen, disks.kit.runs(job.id))


def say_what_next(disks: Disks, view: View, url: str | None, processes: list[Process]) -> None:
    """Commands to paste.

    Parameters: `url` of the Redis that stays up, None where nothing does; the `processes` that stay up with it.
    """
    if url is None:
        view.heading("Try next")
        view.commands(
            (
                (f"{program('jobkit')} demo --stay", "the same, kept up: look around in Flower and with the commands"),
                (f"{program('jobkit')} demo --list disks.csv", "disks of your own; the head of the list is name,size"),
                ("jobs = JobKit(app)", "all your own Celery app needs (from jobkit import JobKit)"),
            )
        )
        return
    jobkit, celery = f"{program('jobkit')} -A {examples.APP}", f"{program('celery')} -A {examples.APP}"
    arguments = f'["mine.img", "64M", "{disks.folder / "yours"}"]'
    _, last = disks.last
    view.heading("Everything stays up until Ctrl-C. Paste into another terminal:")
    view.commands(
        (
            (f"export CELERY_BROKER_URL={url}", ""),
            ("export CELERY_RESULT_BACKEND=$CELERY_BROKER_URL", ""),
            (f"export PYTHONPATH={examples.python_path()}", ""),
            (f"{jobkit} list", "all jobs"),
            (f"{jobkit} show {JobId(last.id).short}", "one in full"),
            (f"{jobkit} watch", "what happens, as it happens"),
            (f"{celery} call workers.jobs.disks.create_disk --args '{arguments}'", "a job of yours"),
            *((f"# in a browser: {process.address}", "") for process in processes if "://" in process.address),
        )
    )


def program(name: str) -> str:
    """How to call ``jobkit`` or ``celery`` from here."""
    beside = Path(sys.executable).with_name(name)
    if shutil.which(name):
        return name
    return str(beside) if beside.exists() else f"{sys.executable} -m {_MODULES[name]}"

"""Bulk creation of virtual disk images: real files, really read, one SHA-256 each.

::

    from workers.jobs.disks import create_disks, read_list

    create_disks.delay(read_list("workers/disks.csv"), "/srv/images")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobkit.running import RunningJob
from workers.app import app
from workers.batch import Batch
from workers.disk_list import Disk, parse_disk, read_list
from workers.images import Image, describe, new_image

__all__ = ["create_disk", "create_disks", "read_list"]


@app.task(bind=True)
def create_disk(self: Any, name: str, size: int | str, directory: str) -> Image:
    """Create one disk image.

    Parameters: its file name; its size in bytes, or as a text such as ``64M``; the directory on the worker's
    machine, made where it is missing.  Returns name, bytes and sha256.  Raises `DiskError`.
    """
    disk = parse_disk({"name": name, "size": size})
    with new_image(disk, _made(directory), self.job.id, _whole(self.job, disk)) as image:
        self.job.log(describe(image))
    return image


@app.task(bind=True)
def create_disks(self: Any, disks: list[Disk], directory: str) -> list[Image]:
    """Create many disk images in one job, with a checkpoint after each: a later run goes on where this one stopped.

    Parameters: what `read_list` returns, or a list of objects with name and size; the directory on the worker's
    machine, made where it is missing.  Returns a list of name, bytes and sha256.  A bad entry (invalid, or a file
    that exists already) is skipped, and the job ends PARTIALLY_SUCCEEDED with a message naming it; when all are
    bad it fails with `NothingCreated`.
    """
    batch = Batch(self.job, disks, _made(directory))
    for entry in batch.rest():
        batch.handle(entry)
    return batch.conclusion()


def _made(directory: str) -> Path:
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    return path


def _whole(job: RunningJob, disk: Disk) -> Callable[[int], None]:
    def on_read(done: int) -> None:
        job.progress(done, disk["size"], f"{disk['name']} is read")

    return on_read

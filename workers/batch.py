"""Many disks in one job: what is done, what was skipped and why, and how far all of it has come."""

from __future__ import annotations

from pathlib import Path

from jobkit.running import RunningJob
from workers.disk_list import MAX_DISKS, Disk, parse_disk
from workers.errors import DiskError, InvalidDisk, NothingCreated
from workers.images import Image, describe, new_image

REASONS_SHOWN = 5


class Batch:
    """The disks of one job, beginning where an earlier run of the same job left its checkpoint.

    Raises `InvalidDisk` when `disks` is not a list of 1 to 1000 entries.
    """

    def __init__(self, job: RunningJob, disks: list[Disk], directory: Path) -> None:
        _check(disks)
        saved = job.checkpoint or {"created": [], "skipped": []}
        self.created: list[Image] = saved["created"]
        self.skipped: list[str] = saved["skipped"]
        self._job, self._disks, self._directory = job, disks, directory
        self._total = sum(map(_size, disks))
        self._done = sum(map(_size, disks[: self._handled]))

    @property
    def _handled(self) -> int:
        return len(self.created) + len(self.skipped)

    def rest(self) -> list[Disk]:
        """What is left to do."""
        return self._disks[self._handled :]

    def handle(self, entry: Disk) -> None:
        """Create the next disk, or skip it, and save that."""
        try:
            with new_image(parse_disk(entry), self._directory, self._job.id, self._on_read) as image:
                self.created.append(image)
                self._save()
            self._job.log(describe(image))
        except DiskError as error:
            self.skipped.append(_reason(entry, error))
            self._save()
            self._job.log(f"skipped: {self.skipped[-1]}", level="WARNING")
        self._done += _size(entry)

    def conclusion(self) -> list[Image]:
        """End the job: well, partly, or with `NothingCreated`."""
        reasons = "; ".join(self.skipped[:REASONS_SHOWN])
        if len(self.skipped) > REASONS_SHOWN:
            reasons += f"; and {len(self.skipped) - REASONS_SHOWN} more"
        if not self.created:
            raise NothingCreated(self._handled, reasons)
        size = sum(image["bytes"] for image in self.created)
        message = f"{len(self.created)} of {self._handled} disks created, {size:,} bytes"
        if self.skipped:
            self._job.partially_succeeded(f"{message}; skipped: {reasons}")
        else:
            self._job.succeeded(message)
        return self.created

    def _save(self) -> None:
        self._job.checkpoint = {"created": self.created, "skipped": self.skipped}

    def _on_read(self, count: int) -> None:
        message = f"disk {self._handled + 1} of {len(self._disks)}"
        self._job.progress(self._done + count, self._total, message)


def _check(disks: object) -> None:
    if not isinstance(disks, list):
        raise InvalidDisk("disks", type(disks).__name__, "a list of objects with name and size")
    if not 1 <= len(disks) <= MAX_DISKS:
        raise InvalidDisk("number of disks", len(disks), f"1 to {MAX_DISKS}")


def _size(entry: object) -> int:
    try:
        return parse_disk(entry)["size"]
    except InvalidDisk:
        return 0  # it is skipped when its turn comes, and weighs nothing until then


def _reason(entry: object, error: DiskError) -> str:
    name = entry.get("name") if isinstance(entry, dict) else entry
    return f"{name!r:.80}: {error}" if isinstance(error, InvalidDisk) else str(error)

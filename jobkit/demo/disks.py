"""The jobs of the demonstration: the disks of a real list, once as one big job, and each as a job of its own."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobkit.demo import examples
from jobkit.model import Job, Transition
from jobkit.states import State

if TYPE_CHECKING:
    from jobkit import JobKit

OWNER, TAG = "demo", "demo"
#: Disks of the list that also get a job of their own.
SINGLES = 12
#: Seconds after which the first of them starts.
DELAY = 3.0

Table = tuple[tuple[str, Job], ...]


class Disks:
    """The jobs, by name, in the order they were submitted.

    Parameters: the path of a list; by default the one that comes with the example workers.
    Raises: ValueError or OSError, which say what is wrong with the list.
    """

    def __init__(self, path: Path | None) -> None:
        examples.make_importable()
        import workers.disk_list

        self.path = path or Path(workers.disk_list.__file__).with_name("disks.csv")
        self._disks = workers.disk_list.read_list(self.path)
        self._names: dict[str, str] = {}
        self._seen: dict[str, Job] = {}
        self._last = ""
        self.kit: JobKit
        self.folder: Path

    @property
    def headline(self) -> str:
        """What is about to happen."""
        size = sum(disk["size"] for disk in self._disks) / 1024**2
        return f"{len(self._disks)} virtual disks, {size:,.0f} MiB, from {self.path.name}: written, read back, SHA-256"

    def submit(self, folder: Path) -> None:
        """Submit all jobs; the first small one starts a little later, the last one after the big one."""
        from workers.app import jobs
        from workers.jobs.disks import create_disk, create_disks

        self.kit, self.folder = jobs, folder
        whole = self._submit("all of them", create_disks.s(self._disks, str(folder / "all")))
        singles = self._disks[:SINGLES]
        for number, disk in enumerate(singles):
            waits: dict[str, Any] = {"start_at": DELAY} if number == 0 else {}
            waits |= {"after": whole} if number == len(singles) - 1 else {}
            task = create_disk.s(disk["name"], disk["size"], str(folder / "single"))
            self._last = self._submit(disk["name"], task, **waits)
        self._define(singles[0], create_disk, str(folder / "scheduled"))

    def _define(self, disk: Any, task: Any, directory: str) -> None:
        """One more, by a definition that beat fires once."""
        data = {"name": disk["name"], "size": disk["size"], "directory": directory}
        when = datetime.now(timezone.utc) + timedelta(seconds=DELAY)
        one = self.kit.definitions.create("scheduled-disk", task=task, schedule=when, data=data, owner=OWNER)
        self._names[one.job_id] = "by schedule"

    def _submit(self, name: str, signature: Any, **waits: Any) -> str:
        job_id: str = self.kit.submit(signature, owner=OWNER, tags=[TAG], **waits).id
        self._names[job_id] = name
        return job_id

    def look(self) -> Table:
        """The jobs as they are now; one whose record has expired meanwhile stays as it was."""
        page = self.kit.query(owner=OWNER, limit=2 * SINGLES)
        self._seen.update({job.id: job for job in page.jobs if job.id in self._names})
        return self.table

    @property
    def table(self) -> Table:
        """Name and job, as of the last look."""
        return tuple((name, self._seen[job_id]) for job_id, name in self._names.items() if job_id in self._seen)

    @property
    def are_live(self) -> bool:
        """Whether any of them has not ended."""
        return any(job_id not in self._seen or self._seen[job_id].is_live for job_id in self._names)

    @property
    def all_finished(self) -> bool:
        """Whether all of them ended well."""
        return all(job.state is State.FINISHED for job in self._seen.values())

    @property
    def last(self) -> tuple[str, Job]:
        """The one that waited for another: its history is the longest."""
        return self._names[self._last], self._seen[self._last]

    def path_of(self, job: Job) -> tuple[Transition, ...]:
        """Every transition of a job."""
        return self.kit.history(job.id)

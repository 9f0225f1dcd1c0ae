"""What a task body uses: `self.job`."""

from __future__ import annotations

import json
import logging
import time
from typing import Any, Protocol, TypeVar

from jobkit.errors import InvalidOption, NotSerializable, PayloadTooLarge
from jobkit.states import Outcome
from jobkit.store import Claim, JobStore, Settled

T = TypeVar("T")

#: Bytes of a checkpoint.
CHECKPOINT_BYTES = 1024 * 1024
#: Seconds between two writes of progress; what comes in between is kept and written with the next, or the end.
PROGRESS_INTERVAL = 0.5


class Ledger(Protocol):
    """Where a running job writes to: the store, or nowhere for a task that is called as a plain function."""

    def write(self, job_id: str, holder: Settled, fields: dict[str, str | bytes]) -> Any:
        """Set fields of the run."""

    def log(self, job_id: str, holder: Settled, number: int, level: str, text: str) -> Any:
        """Keep a log line of the run."""


class _Nowhere:
    """For tasks that are called as plain functions or eagerly: there is no record to write to."""

    def write(self, job_id: str, holder: Settled, fields: dict[str, str | bytes]) -> None:
        """Nothing to write."""

    def log(self, job_id: str, holder: Settled, number: int, level: str, text: str) -> None:
        """Nothing to keep."""


class RunningJob:
    """The job a task body is part of: `self.job`.

    Every write is fenced: once the run belongs to somebody else, it raises `Fenced`.
    """

    def __init__(self, job_id: str, task: str, ledger: Ledger, holder: Settled, claim: Claim | None = None) -> None:
        self.id = job_id
        self.task = task
        self.run = holder.run or 1
        self.owner = claim.owner if claim else ""
        self.tags = claim.tags if claim else ()
        self.outcome = Outcome.SUCCEEDED
        self.message = ""
        #: True once its end is being recorded, and once it is.
        self.ending = self.ended = False
        self._ledger, self._holder = ledger, holder
        self._checkpoint = claim.checkpoint if claim else ""
        self._lines = 0
        self._progress, self._written = "", 0.0

    @property
    def holder(self) -> Settled:
        """Run number, claim token and worker: what fences the writes of this run."""
        return self._holder

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the job has come.

        Parameters: `done` of `total`, in any unit, both 0 or more; `message`, a line for people (500 characters kept).
        At most one write per `PROGRESS_INTERVAL`; the last one always arrives.
        """
        for name, value in (("done", done), ("total", total)):
            if value is not None and not (isinstance(value, int | float) and value >= 0):
                raise InvalidOption(option=f"progress({name})", value=value, allowed="must be a number, 0 or more")
        self._progress = json.dumps([done, total, str(message)[:500]])
        if time.monotonic() - self._written >= PROGRESS_INTERVAL or done == total:
            self._written = time.monotonic()
            self._ledger.write(self.id, self._holder, {"progress": self._progress})

    def log(self, message: str, level: str = "INFO") -> None:
        """Keep a line with the job, and pass it to the logger `jobkit.job`.

        Parameters: the text (2,000 characters kept) and the name of a `logging` level.
        """
        number = logging.getLevelName(level)
        if not isinstance(number, int):
            raise InvalidOption(option="log(level)", value=level, allowed="DEBUG, INFO, WARNING, ERROR or CRITICAL")
        logging.getLogger("jobkit.job").log(number, "%s[%s] %s", self.task, self.id, message)
        self._lines += 1
        self._ledger.log(self.id, self._holder, self._lines, level, str(message))

    @property
    def checkpoint(self) -> Any:
        """What an earlier run of this job, or this one, saved last; None at first.  JSON, at most 1 MiB.

        It is stored before the assignment returns, and the next run starts with it however this one ends.
        """
        return json.loads(self._checkpoint) if self._checkpoint else None

    @checkpoint.setter
    def checkpoint(self, value: Any) -> None:
        try:
            text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as exc:
            raise NotSerializable(task=f"{self.task} (checkpoint)", serializer="json", reason=str(exc)) from exc
        if len(text) > CHECKPOINT_BYTES:
            raise PayloadTooLarge(task=f"{self.task} (checkpoint)", size=len(text), limit=CHECKPOINT_BYTES)
        self._ledger.write(self.id, self._holder, {"checkpoint": text})
        self._checkpoint = text

    def succeeded(self, message: str, result: T | None = None) -> T | None:
        """End well, with a message for people: ``return self.job.succeeded("12 files", result=files)``."""
        self.outcome, self.message = Outcome.SUCCEEDED, str(message)
        return result

    def partially_succeeded(self, message: str, result: T | None = None) -> T | None:
        """End well but not whole [TFS]: ``return self.job.partially_succeeded("3 rows skipped")``."""
        self.outcome, self.message = Outcome.PARTIALLY_SUCCEEDED, str(message)
        return result

    def last_words(self) -> dict[str, str]:
        """What was not written yet, for the end of the run to take along."""
        return {"progress": self._progress} if self._progress else {}

    def __repr__(self) -> str:
        return f"<RunningJob {self.task}[{self.id}] run {self.run}>"


#: The runs this process is executing, by job id.
runs: dict[str, RunningJob] = {}


def current(job_id: str | None, task: str) -> RunningJob:
    """The run of that id in this process, or one without a record for a task called as a plain function."""
    found = runs.get(job_id or "")
    return found or RunningJob(job_id or "", task, _Nowhere(), Settled(1, "", ""))


def begin(job_id: str, task: str, store: JobStore, holder: Settled, claim: Claim) -> RunningJob:
    """Remember a claimed run for as long as this process executes it."""
    job = runs[job_id] = RunningJob(job_id, task, store, holder, claim)
    return job

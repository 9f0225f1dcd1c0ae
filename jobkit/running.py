"""What a task body uses: `self.job`."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextvars import ContextVar
from itertools import islice
from typing import Any, Protocol, TypeVar

from jobkit.errors import CannotSpawn, InvalidOption, NotSerializable, PayloadTooLarge
from jobkit.locks import Lock
from jobkit.states import Outcome, State
from jobkit.stopping import StopSwitch, Watcher
from jobkit.store import Claim, JobStore, Settled

T = TypeVar("T")

#: Bytes of a checkpoint.
CHECKPOINT_BYTES = 1024 * 1024
#: Seconds between two writes of progress, or of the place in `iterate`; the last one always arrives.
WRITE_INTERVAL = 0.5


class Ledger(Protocol):
    """Where a running job writes to: the store, or nowhere for a task that is called as a plain function."""

    def write(self, job_id: str, holder: Settled, fields: dict[str, str | bytes]) -> Any:
        """Set fields of the run."""

    def log(self, job_id: str, holder: Settled, number: int, level: str, text: str) -> Any:
        """Keep a log line of the run."""

    def fence(self, job_id: str) -> int | None:
        """The fence of the locks a job holds."""


class Kin(Protocol):
    """How a running job starts others."""

    def spawn(
        self, signatures: Sequence[Any], then: Any, failure: str, locks: Iterable[str | Lock], host: str
    ) -> tuple[Any, ...]:
        """See `RunningJob.spawn`."""

    def on_rollback(self, signature: Any) -> None:
        """See `RunningJob.on_rollback`."""


class _Nowhere:
    """For tasks that are called as plain functions or eagerly: there is no record to write to."""

    def write(self, job_id: str, holder: Settled, fields: dict[str, str | bytes]) -> None:
        """Nothing to write."""

    def log(self, job_id: str, holder: Settled, number: int, level: str, text: str) -> None:
        """Nothing to keep."""

    def fence(self, job_id: str) -> None:
        """Nothing is held."""


class StopRequested(Exception):
    """The run was told to end, and does."""


class RunningJob:
    """The job a task body is part of: `self.job`.

    Every write is fenced: once the run belongs to somebody else, it raises `Fenced`.
    """

    #: What `raise_if_should_finish` raises; the seam to Celery makes it one that Celery takes for no error.
    stop_exception: type[Exception] = StopRequested

    # How most runs begin, and many end.
    outcome, message = Outcome.SUCCEEDED, ""
    #: When it is to run once more: seconds from now, "never" without a start, None if it is not.
    plan: float | str | None = None
    #: True inside of `on_finished`.
    telling = False
    #: True once its end is being recorded, and once it is.
    ending = ended = False
    killed = greenlet = False
    #: Set by the seam to Celery: how to start other jobs; and whether what follows this one waits for them.
    family: Kin | None = None
    deferred = False
    _lines, _progress, _written = 0, "", 0.0

    def __init__(self, job_id: str, task: str, ledger: Ledger, holder: Settled, claim: Claim | None = None) -> None:
        self.id = job_id
        self.task = task
        self.run = holder.run or 1
        self.owner = claim.owner if claim else ""
        self.tags = claim.tags if claim else ()
        #: What the record remembers of earlier restarts, per cause.
        self.restarts = claim.restarts if claim else ""
        #: Fields that `on_finished` leaves for the next run.
        self.left: dict[str, str] = {}
        self.stop = StopSwitch(lambda: 0, lambda: State.RUNNING)
        #: The thread that runs the body, None once it is over; `fate` guards it, `killed` says it was raised into.
        self.thread: int | None = threading.get_ident()
        self.fate = threading.Lock()
        #: The level from which on its log lines are kept; a definition can have it changed for a while.
        self.log_level = claim.newest[2] if claim and claim.newest and claim.newest[2] else "NOTSET"
        self._watchers: list[Watcher] = []
        self._ledger, self._holder = ledger, holder
        self._checkpoint = claim.checkpoint if claim else ""

    @property
    def holder(self) -> Settled:
        """Run number, claim token and worker: what fences the writes of this run."""
        return self._holder

    @property
    def fence(self) -> int:
        """A number that only grows from run to run of this job: hand it to other systems, so that they can refuse an
        older run that wakes up late."""
        return self.run

    @property
    def lock_fence(self) -> int | None:
        """A number that only grows from holder to holder of a lock; None for a job without locks.

        Hand it to what the lock guards, so that it can refuse an earlier holder.  One look at the store.
        """
        return self._ledger.fence(self.id)

    # -- telling -------------------------------------------------------------------------------------------------

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the job has come.

        Parameters: `done` of `total`, in any unit, both 0 or more; `message`, a line for people (500 characters kept).
        At most one write per `WRITE_INTERVAL`; the last one always arrives.
        """
        for name, value in (("done", done), ("total", total)):
            if value is not None and not (isinstance(value, int | float) and value >= 0):
                raise InvalidOption(option=f"progress({name})", value=value, allowed="must be a number, 0 or more")
        if self.telling:
            return  # the run is over
        self._progress = json.dumps([done, total, str(message)[:500]])
        if time.monotonic() - self._written >= WRITE_INTERVAL or done == total:
            self._written = time.monotonic()
            self._ledger.write(self.id, self._holder, {"progress": self._progress})

    def log(self, message: str, level: str = "INFO") -> None:
        """Keep a line with the job, if it is of its `log_level` or above, and pass it to the logger `jobkit.job`.

        Parameters: the text (2,000 characters kept) and the name of a `logging` level.
        """
        number = logging.getLevelName(level)
        if not isinstance(number, int):
            raise InvalidOption(option="log(level)", value=level, allowed="DEBUG, INFO, WARNING, ERROR or CRITICAL")
        logging.getLogger("jobkit.job").log(number, "%s[%s] %s", self.task, self.id, message)
        if number < logging.getLevelName(self.log_level):
            return
        self._lines += 1
        if not self.telling:  # the run is over, and its log with it
            self._ledger.log(self.id, self._holder, self._lines, level, str(message))

    # -- keeping -------------------------------------------------------------------------------------------------

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
        if self.telling:
            self.left["checkpoint"] = text
        else:
            self._ledger.write(self.id, self._holder, {"checkpoint": text})
        self._checkpoint = text

    def iterate(self, items: Iterable[T], total: int | None = None) -> Iterator[tuple[int, T]]:
        """Number and item of each, from where the last run of this job stopped; ends the run between two when told to.

        Parameters: `items`, the same ones in the same order in every run; `total`, how many, for the progress (known
        by itself for a list).  The checkpoint is how many are done: written every `WRITE_INTERVAL` and when the run is
        told to end, so that after a crash the last half second is done again, and after a stop nothing is.
        """
        done = int(self.checkpoint or 0)
        if total is None and isinstance(items, Sized):
            total = len(items)
        saved = time.monotonic()
        for item in islice(items, done, None):
            if self.should_finish:
                self.checkpoint = done
                self.raise_if_should_finish()
            yield done, item
            done += 1
            self.progress(done, total)
            if time.monotonic() - saved >= WRITE_INTERVAL:
                self.checkpoint, saved = done, time.monotonic()

    # -- starting others -----------------------------------------------------------------------------------------

    def spawn(
        self,
        *signatures: Any,
        then: Any = None,
        failure: str = "fail",
        locks: Iterable[str | Lock] = (),
        host: str = "",
    ) -> tuple[Any, ...]:
        """Start children: ``self.job.spawn(copy.s("a"), copy.s("b"))``.  Return from the body then: it holds no slot.

        The job is CHILD_QUEUED or CHILD_RUNNING until all of them have ended, and aborting it aborts them.  A run that
        spawns the same again (the same task and arguments) after a restart finds the children it has, and what went
        well is not done twice.
        Parameters: signatures of single tasks, up to 10,000 for one job; `then`, the signature of a job that runs after
        all of them and gets the list of their results first, None for one that did not end well; `failure`, what a
        child that fails means: ``fail`` (the job fails with `ChildFailed`), ``ignore``, or ``abort_siblings`` (the
        others are aborted too); `locks` and `host` of each child.
        Returns: a handle for each.  Raises: `InvalidOption`, `CannotSpawn`; ends the run if it was told to end.
        """
        return self._kin().spawn(signatures, then, failure, locks, host)

    def on_rollback(self, signature: Any) -> None:
        """Register what undoes the step that is about to be done: stored before this returns.

        When the job ends for good in ERROR, ABORTED, KILLED, TIMEOUT or CANCELLED, these run as jobs of their own,
        newest first, before that end is reported, whoever is left to run them; success discards them.  One that fails
        is named in `Job.failed_compensations`, and the others run.  It may be run twice: it should not mind.
        Parameters: the signature of one task; up to 100 for one job.
        """
        self._kin().on_rollback(signature)

    def _kin(self) -> Kin:
        if self.family is None:
            raise CannotSpawn(job_id=self.id, reason="its task was called as a plain function, there is no job")
        return self.family

    # -- ending --------------------------------------------------------------------------------------------------

    @property
    def should_finish(self) -> bool:
        """Was the run told to end (cancel, pause, shutdown, time over), or taken over?  A memory read.

        A body that sees it has its grace period to end itself: by returning, or by `raise_if_should_finish`.
        """
        return self.stop()

    @property
    def stop_reason(self) -> State | None:
        """Why it should finish: CANCELLING_BY_USER, CANCELLING_BY_SYSTEM, …; None if it should not."""
        return self.stop.reason

    def raise_if_should_finish(self) -> None:
        """End the run here if it was told to end; what was saved as checkpoint is there for the next one."""
        if self.should_finish:
            raise self.stop_exception(f"told to finish: {self.stop_reason}")

    def on_should_finish(self, callback: Callable[[State], object]) -> None:
        """Have `callback` called once, in a thread of its own and with the reason, when the run should finish."""
        watcher = Watcher(self.stop, callback)
        self._watchers.append(watcher)
        watcher.start()

    def succeeded(self, message: str, result: T | None = None) -> T | None:
        """End well, with a message for people: ``return self.job.succeeded("12 files", result=files)``."""
        self.outcome, self.message = Outcome.SUCCEEDED, str(message)
        return result

    def partially_succeeded(self, message: str, result: T | None = None) -> T | None:
        """End well but not whole [TFS]: ``return self.job.partially_succeeded("3 rows skipped")``."""
        self.outcome, self.message = Outcome.PARTIALLY_SUCCEEDED, str(message)
        return result

    def reschedule(self, seconds: float | None = 0.0) -> None:
        """Have the job run once more, in the body (if it ends well) or in `on_finished` (however it ended) [WI].

        Parameters: `seconds` from now; None for a run that waits for `resume` or `change_start_time`.  The next run
        starts with what is saved as `checkpoint`.  A job whose policy has it run again anyway is not planned twice.
        """
        if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0):
            raise InvalidOption(option="reschedule", value=seconds, allowed="must be seconds, 0 or more, or None")
        if self.ended and not self.telling:
            raise InvalidOption(option="reschedule", value=seconds, allowed="only in the body or in on_finished")
        self.plan = "never" if seconds is None else float(seconds)

    def last_words(self) -> dict[str, str]:
        """What was not written yet, for the end of the run to take along."""
        words = {"progress": self._progress} if self._progress else {}
        return {**words, "deferred": "1"} if self.deferred else words

    def close(self) -> None:
        """The body is over."""
        for watcher in self._watchers:
            watcher.stop()

    def __repr__(self) -> str:
        return f"<RunningJob {self.task}[{self.id}] run {self.run}>"


#: The runs this process is executing, by job id: the one that began last, where a run that was lost goes on beside it.
runs: dict[str, RunningJob] = {}
_changing = threading.Lock()
#: The run that this thread, or greenlet, is executing.
_mine: ContextVar[RunningJob | None] = ContextVar("jobkit_run", default=None)


def find(job_id: str | None) -> RunningJob | None:
    """The run of that id in this process: that of the thread that asks, if it executes one."""
    mine = _mine.get()
    return mine if mine and mine.id == job_id else runs.get(job_id or "")


def current(job_id: str | None, task: str) -> RunningJob:
    """The run of that id in this process, or one without a record for a task called as a plain function."""
    return find(job_id) or RunningJob(job_id or "", task, _Nowhere(), Settled(1, "", ""))


def begin(job_id: str, task: str, store: JobStore, holder: Settled, claim: Claim) -> RunningJob:
    """Remember a claimed run for as long as this process executes it."""
    job = RunningJob(job_id, task, store, holder, claim)
    _mine.set(job)
    with _changing:
        runs[job_id] = job
    return job


def leave(job: RunningJob) -> None:
    """Forget a run that is over; the next one of its job may have begun here meanwhile, in another thread."""
    _mine.set(None)
    with _changing:
        if runs.get(job.id) is job:
            del runs[job.id]

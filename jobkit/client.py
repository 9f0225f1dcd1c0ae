"""What application code reads and asks for, over any store; `ext/` adds the sending of Celery messages."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Any

from jobkit.errors import BadRecord, IllegalTransition, InvalidOption, JobNotFound, nearest
from jobkit.hosts import Blocks, Hosts
from jobkit.model import Finding, Footprint, Job, LockState, LogLine, Page, Reason, Run, Transition, Tree
from jobkit.sessions import Session
from jobkit.states import State
from jobkit.store import JobStore, Verdict, bulk, families, footprint, health, locks, queries, records
from jobkit.store.keys import checked_id
from jobkit.store.listening import batches
from jobkit.times import start
from jobkit.waiting import Progress, Waiting, teller

#: Jobs a page may hold.
PAGE_LIMIT = 1000
#: Levels of failed children a reason goes down.
REASONS = 20


class Client(Waiting):
    """Jobs of one namespace.

    Parameters: a `store`; `decode`, which turns a stored result into (result, Celery's status); `by`, who the history
    says it was.
    """

    def __init__(self, store: JobStore, decode: Callable[[bytes], tuple[Any, str]], by: str) -> None:
        self.store, self._decode, self._by = store, decode, by

    def get(self, job_id: str) -> Job:
        """The job as it stands now; of an ended job that is a use of it.

        Raises: `JobExpired`, `JobUnknown`, `BadRecord`.
        """
        return self._job(job_id, queries.record(self.store, _id(job_id)))

    def _job(self, job_id: str, record: dict[bytes, bytes]) -> Job:
        meta = record.pop(b"meta", b"")
        result, status = self._decode(meta) if meta else (None, "")
        return records.job(job_id, records.texts(record), result, status)  # type: ignore[arg-type]

    def forget(self, job_id: str) -> None:
        """Delete the record of an ended job: who asks for it is told that it was deleted.

        Of a live one only its result so far goes.  Raises: `JobExpired`, `JobUnknown`.
        """
        if self.store.forget(_id(job_id)).code == "missing":
            raise self.store.absence(job_id)

    def query(
        self,
        state: str | State | Iterable[str | State] | None = None,
        task: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """One page of jobs, newest first.

        Parameters: one or several states, a task's name, an owner, a tag (all that are given must hold); `limit`, 1 to
        1,000; `cursor`, from the page before.  A page can hold fewer jobs than asked for and still have a next one; a
        record that cannot be read is named in `Page.unreadable` and harms no other.
        Raises: `InvalidOption`.
        """
        if not 1 <= limit <= PAGE_LIMIT:
            raise InvalidOption(option="limit", value=limit, allowed=f"must be 1 to {PAGE_LIMIT}")
        rows, following = queries.page(
            self.store, _states(state), task or "", owner or "", tag or "", limit=limit, cursor=cursor
        )
        jobs, unreadable = [], []
        for job_id, fields in rows:
            try:
                jobs.append(records.job(job_id, fields))
            except BadRecord as exc:
                unreadable.append(exc)
        return Page(tuple(jobs), following, tuple(unreadable))

    def counts(self) -> dict[State, int]:
        """How many jobs stand in each state."""
        return queries.counts(self.store)

    def history(self, job_id: str) -> tuple[Transition, ...]:
        """Every transition of every run, oldest first.  Raises: `JobNotFound`."""
        return queries.history(self.store, _id(job_id))

    def runs(self, job_id: str) -> tuple[Run, ...]:
        """The runs of a job, each with its path.  Raises: `JobNotFound`."""
        return records.runs(self.history(job_id))

    def log(self, job_id: str) -> tuple[LogLine, ...]:
        """The lines its body logged.  Raises: `JobNotFound`."""
        return queries.log(self.store, _id(job_id))

    def reason(self, job_id: str, lines: int = 10) -> Reason:
        """Why a job ended as it did: exception, traceback, its last log `lines`, a child or compensations that failed.

        The reasons of those are given too, all the way down.  Raises: `JobNotFound`.
        """
        return self._reason(self.get(job_id), lines, 0)

    def _reason(self, job: Job, lines: int, depth: int) -> Reason:
        below = [self._below(one, lines, depth) for one in (job.failed_child, *job.failed_compensations)]
        log = self.log(job.id)[-lines:] if lines else ()
        found = tuple(one for one in below[1:] if one)
        return Reason(job.id, job.task, job.state, job.message, job.failure, log, below[0], found)

    def _below(self, job_id: str, lines: int, depth: int) -> Reason | None:
        try:
            return self._reason(self.get(job_id), lines, depth + 1) if job_id and depth < REASONS else None
        except JobNotFound:
            return None  # its record is gone; its parent says what is left to say

    def session(self, owner: str) -> Session:
        """The jobs of one owner, for the moment he logs out."""
        return Session(self, owner)

    def locks(self) -> tuple[LockState, ...]:
        """Every lock that is held or waited for, by name: its holders with their fences, and its waiters in order."""
        return locks.listing(self.store)

    def tree(self, job_id: str) -> Tree:
        """A job and everything below it: children, compensations, what bodies sent by canvas.  Raises: `JobUnknown`."""
        return families.tree(self.store, _id(job_id))

    @cached_property
    def blocks(self) -> Blocks:
        """What is held back, by task, queue, owner, definition or host."""
        return Blocks(lambda: self.store, self.publish, lambda: self._by)

    @cached_property
    def hosts(self) -> Hosts:
        """Which of the things that jobs work on are away."""
        return Hosts(self.blocks)

    def watch(self, job_id: str | None = None, *, timeout: float | None = None) -> Iterator[tuple[str, Transition]]:
        """Transitions, live.

        With a `job_id`: first its whole history, then what happens, until it has ended.  Without one: every transition
        of every job, without end.  `timeout` in seconds ends it with `TimeoutError`.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        one = None if job_id is None else _id(job_id)
        for item in queries.announcements(self.store, None, [], until) if one is None else self._watch_one(one, until):
            if item:
                yield item
            # Whoever took his time over the end of a job is not told that it has not ended.
            if not (item and one) and time.monotonic() >= until:
                raise TimeoutError(f"job {job_id or '*'}: not ended within {timeout} s")

    def _watch_one(self, job_id: str, until: float) -> Iterator[tuple[str, Transition] | None]:
        with self._keeping([job_id]) as keep:
            for item in self._steps_of(job_id, until):
                keep()
                yield item

    def _steps_of(self, job_id: str, until: float) -> Iterator[tuple[str, Transition] | None]:
        ready: list[bool] = []
        seen, gone = 0, False
        for item in queries.announcements(self.store, job_id, ready, until):
            steps: Sequence[Transition] = (item[1],) if item else ()
            # Read after the subscription stands, again whenever it is quiet, and where it may be over: what ends a run
            # may begin the next one, and nothing can be missed.
            if ready and not gone and not (item and item[1].target.is_live):
                try:
                    steps = self.history(job_id)
                except JobNotFound:
                    if not seen:
                        raise
                    gone = True  # kept for no time: what was announced of it is all there is
            for step in steps:
                if step.seq > seen:
                    seen = step.seq
                    yield job_id, step
            if (item is None) if gone else (steps and not steps[-1].target.is_live):
                return
            yield None

    def doctor(self, *, deep: bool = True) -> tuple[Finding, ...]:
        """What could lose jobs, or has: policy, persistence, version, clock, schema, rights, orphans; with what to do.

        Parameters: `deep` looks at every job, too.  Raises: `StoreUnavailable`.
        """
        return tuple(health.examine(self.store, deep=deep))

    def memory(self) -> tuple[Footprint, ...]:
        """What everything jobkit has written takes, by kind of key, the largest first; it looks at every key."""
        return tuple(footprint.footprint(self.store))

    def suspend(self, job_id: str, reason: str = "") -> State:
        """Take the planned start of a job that has not started away; it keeps all it knows.

        Raises: `JobNotFound`, `IllegalTransition`.
        """
        return self._act(self.store.suspend(_id(job_id), self._by, reason))

    def resume(self, job_id: str, reason: str = "") -> State:
        """Start a waiting or suspended job as soon as it may.  Raises: `JobNotFound`, `IllegalTransition`."""
        return self._act(self.store.change_start(_id(job_id), None, self._by, reason))

    def change_start_time(self, job_id: str, when: datetime | float, reason: str = "") -> State:
        """Give a job that has not started another start time, in place.

        Parameters: an aware datetime, or seconds from now, 0 or more.  Raises: `JobNotFound`, `IllegalTransition`,
        `InvalidOption`.
        """
        return self._act(self.store.change_start(_id(job_id), start("when", when), self._by, reason))

    def abort(self, job_id: str, reason: str = "", grace: float | None = None) -> State:
        """Abort a job.  It holds, also if no worker is up, or its worker dies meanwhile.

        One that has not started is REMOVING, and REMOVED once a worker has told the job so.  One that runs is
        CANCELLING_BY_USER: it sees `should_finish`, has its grace period (`grace`, seconds), and then is killed.
        Its children end with it, all the way down.
        Raises: `JobNotFound`, `IllegalTransition` for a job that has ended.
        """
        try:
            return self._act(self.store.remove(_id(job_id), self._by, reason))
        except IllegalTransition:
            return self._act(self.store.ask(_id(job_id), "cancel", self._by, reason, _grace(grace)))

    def abort_many(
        self, jobs: Iterable[Any], reason: str = "", grace: float | None = None, *, progress: Progress = False
    ) -> dict[str, State | None]:
        """Abort thousands as `abort` does one, a few hundred with each round trip to Redis; done again it does no harm.

        Parameters: handles or ids; `progress` as `wait_many` has it.
        Returns: by id where each stands now; one that had ended stands where it did, None of one without a record.
        Raises: `StoreError`; those before it are aborted.
        """
        ids = list(dict.fromkeys(_id(str(getattr(job, "id", job))) for job in jobs))
        tell, found = teller("aborted", progress), dict[str, State | None]()
        for batch in batches(ids):
            verdicts = bulk.abort(self.store, batch, self._by, reason, _grace(grace))
            states = (State(one.state) if one.state else None for one in verdicts)
            found |= zip(batch, states, strict=True)
            owed = tuple(chain.from_iterable(one.publish for one in verdicts))
            settle = tuple(chain.from_iterable(one.settle for one in verdicts))
            self.publish(Verdict("ok", "", 0, owed, settle))
            tell(len(found), len(ids))
        return found

    def pause(self, job_id: str, reason: str = "", grace: float | None = None) -> State:
        """Tell a running job to pause: it leaves a checkpoint, and its next run is SUSPENDED until `resume`.

        Raises: `JobNotFound`, `IllegalTransition` for a job that does not run.
        """
        return State(self.store.ask(_id(job_id), "request_pause", self._by, reason, _grace(grace)).state)

    def publish(self, verdict: Verdict) -> None:
        """Publish the messages a verb left to be published; a worker's keeper does it where this cannot."""

    def _act(self, verdict: Verdict) -> State:
        self.publish(verdict)
        return State(verdict.state)


def _id(job_id: str) -> str:
    return checked_id(str(job_id))


def _grace(seconds: float | None) -> float | None:
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0):
        raise InvalidOption(option="grace", value=seconds, allowed="must be seconds, 0 or more")
    return seconds


def _states(given: str | State | Iterable[str | State] | None) -> tuple[State, ...]:
    names = (given,) if isinstance(given, str) else tuple(given or ())
    for name in names:
        if name not in State.__members__:
            hint = nearest(str(name), State.__members__)
            raise InvalidOption(option="state", value=str(name), allowed=f"there is no such state, {hint}")
    return tuple(State(name) for name in names)

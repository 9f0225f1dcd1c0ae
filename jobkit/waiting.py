"""Waiting for jobs, one or ten thousand; and keeping them meanwhile."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jobkit.errors import InvalidOption, TooManyPins
from jobkit.model import Job
from jobkit.store import JobStore
from jobkit.store.keys import checked_id
from jobkit.store.listening import Listener, batches, over
from jobkit.store.values import READER

#: Seconds a job that is waited for is pinned each time; the pin is renewed three times as often.
LEASE = 60.0
#: Seconds without an announcement after which all records are looked at, whatever was announced.
QUIET = 5.0

Progress = bool | Callable[[int, int], None]


class Waiting:
    """Mixed into a client."""

    store: JobStore
    _by: str

    if TYPE_CHECKING:

        def _job(self, job_id: str, record: dict[bytes, bytes]) -> Job: ...

    def ends(self, jobs: Iterable[Any], *, timeout: float | None = None) -> Iterator[Job]:
        """Jobs as they end, in that order; those that have ended already come first.

        Parameters: handles or ids; `timeout` in seconds for all of them.  They are pinned as long as this is asked.
        Raises: `TimeoutError`, `JobExpired` or `JobUnknown` for one of which there is no record.
        """
        ids = dict.fromkeys(checked_id(str(getattr(job, "id", job))) for job in jobs)
        deadline = None if timeout is None else time.monotonic() + timeout
        waiting, every = dict(ids), list(ids)
        with Listener(self.store, every) as listener, self._keeping(every) as keep:
            look: Iterable[str] = every
            while waiting:
                found, missing = over(self.store, (job_id for job_id in look if job_id in waiting))
                unread = [job_id for job_id, record in found.items() if b"|u|" in record.get(b"retain", b"")]
                if unread:
                    self.store.unpin(READER, unread)
                for job_id in found:
                    del waiting[job_id]
                    yield self._job(job_id, found[job_id])
                if missing:
                    raise self.store.absence(missing[0])
                if waiting and deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(f"{len(waiting):,} of {len(ids):,} jobs have not ended within {timeout} s")
                keep()
                quiet = QUIET if deadline is None else min(QUIET, max(0.0, deadline - time.monotonic()))
                look = list(listener.hear(quiet)) if waiting else ()
                look = look or list(waiting)

    def wait(self, job: Any, *, timeout: float | None = None) -> Job:
        """The job, once it has ended; see `ends`."""
        return next(self.ends([job], timeout=timeout))

    def wait_many(self, jobs: Iterable[Any], *, timeout: float | None = None, progress: Progress = False) -> list[Job]:
        """All these jobs, in this order, once the last has ended; see `ends`.

        `progress` is called with how many have ended, of how many; True shows that on a terminal.
        """
        asked = [str(getattr(job, "id", job)) for job in jobs]
        tell, found = teller("ended", progress), dict[str, Job]()
        for job in self.ends(asked, timeout=timeout):
            found[job.id] = job
            tell(len(found), len(asked))
        return [found[job_id] for job_id in asked]

    def pin(self, job_id: str, *, for_: float, by: str = "") -> None:
        """Keep a job for so many seconds at least, whatever its time and however little room there is.

        Parameters: `by`, who pins it, this process unless given; who pins a job again has a new lease.
        Raises: `JobExpired`, `JobUnknown`, `TooManyPins`, `InvalidOption`.
        """
        if isinstance(for_, bool) or not isinstance(for_, int | float) or not 0 < for_ < 1e9:
            raise InvalidOption(option="for_", value=for_, allowed="must be seconds above 0")
        refused = self.store.pin(by or self._by, for_, [checked_id(str(job_id))])
        if "missing" in refused.values():
            raise self.store.absence(job_id)
        if refused:
            raise TooManyPins(job_id=job_id, limit=self.store.limits.pins)

    def unpin(self, job_id: str, *, by: str = "") -> bool:
        """Let a job go; False if it was not pinned by this one (any more)."""
        return self.store.unpin(by or self._by, [checked_id(str(job_id))]) > 0

    @contextmanager
    def _keeping(self, ids: list[str]) -> Iterator[Callable[[], None]]:
        """Pin these as long as this lasts; what one owner has too many of is waited for without."""
        pinner, due = f"{self._by} {secrets.token_hex(4)}", 0.0

        def keep() -> None:
            nonlocal due
            if time.monotonic() >= due:
                due = time.monotonic() + LEASE / 3
                for batch in batches(ids):
                    self.store.pin(pinner, LEASE, batch)

        keep()
        try:
            yield keep
        finally:
            for batch in batches(ids):
                self.store.unpin(pinner, batch)


def teller(what: str, progress: Progress) -> Callable[[int, int], None]:
    """What is called as things go on; for True a line on stderr, if that is a terminal."""
    if callable(progress):
        return progress
    return _Line(what) if progress and sys.stderr.isatty() else lambda done, total: None


class _Line:
    """One line, written over and over, ten times a second at most."""

    def __init__(self, what: str) -> None:
        self._what, self._next = what, 0.0

    def __call__(self, done: int, total: int) -> None:
        if done < total and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.1
        part = done / total if total else 1.0
        end = "\n" if done >= total else ""
        bar = "#" * int(part * 30)
        print(f"\r{self._what} {done:,} of {total:,} [{bar:<30}] {part:4.0%}", end=end, file=sys.stderr, flush=True)

"""What is sent inside of a batch is recorded together, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import groupby
from typing import NamedTuple

from jobkit.store import JobStore, Verdict, bulk
from jobkit.store.bulk import Alike, Entry, Row
from jobkit.store.durability import Span
from jobkit.store.values import operation

#: Jobs one script records at most, and characters it is given: Redis serves nobody else meanwhile.
JOBS, SIZE = 250, 500_000
#: Jobs that are recorded before it is waited until all of them are as durable as they have to be.
SPAN = 10_000

#: Told the verdict on a job; raises where that refuses it.
Then = Callable[[Verdict], object]


class Added(NamedTuple):
    """One that is to be recorded: like others or not, made by Celery itself or as others are."""

    like: Alike | None
    row: Row
    entry: Entry | None = None
    then: Then = lambda verdict: None


class Batch:
    """What is to be recorded together; while Redis records one chunk, the next is made.

    Parameters: `again`, one whose id has a record was accepted before.
    """

    def __init__(self, store: JobStore, *, again: bool = False) -> None:
        self._store, self._again = store, again
        self._added: list[Added] = []
        self._size = 0
        self._begun: tuple[list[Added], bulk.Flight | None] | None = None
        #: Was one refused, or may it have been: nothing is recorded any more.
        self.failed = False
        #: How many were recorded.
        self.recorded = 0
        self._last: Entry | None = None
        self._span: Span | None = None
        self._unsure: list[str] = []

    def add(self, entry: Entry, then: Then) -> None:
        """Record this one with the next chunk."""
        like, row = entry.alike() or (None, Row(entry.plan.id, ()))
        self._last = entry
        self.append(Added(like, row, entry, then), len(entry.put.message) + len(entry.plan.message))
        if self.is_full:
            self.start()

    def append(self, one: Added, size: int) -> None:
        """The same, of so many characters."""
        self._added.append(one)
        self._size += size

    def has(self, job_id: str) -> bool:
        """Was this one accepted before, as those may have been that are submitted `again`?"""
        store = self._store
        if not self._again or not store.call(lambda: store.client.exists(store.keys.job(job_id))):
            return False
        self._begin_span()
        self._is_recorded(job_id)
        return True

    def last(self) -> Entry | None:
        """The last that Celery itself made since this was asked."""
        entry, self._last = self._last, None
        return entry

    @property
    def is_full(self) -> bool:
        """Is it time to flush?"""
        return len(self._added) >= JOBS or self._size >= SIZE

    def start(self) -> None:
        """Begin to record what was added, once what was added before is recorded.  Raises: as `settle`."""
        self.settle()
        if len(self._unsure) >= SPAN:
            self.confirm()
        added, self._added, self._size = self._added, [], 0
        if added:
            self._begin_span()
            like = added[0].like
            alike = like is not None and all(one.like == like for one in added)
            flight = bulk.Flight(self._store, like, [one.row for one in added], operation()) if like and alike else None
            self._begun = added, flight

    def settle(self) -> None:
        """Wait until what was begun is recorded.  Raises: what recording the first raises that is refused."""
        if self._begun is None:
            return
        (added, flight), self._begun, self.failed = self._begun, None, True
        verdicts = iter(flight.answer()) if flight else self._record(added)
        for one, verdict in zip(added, verdicts, strict=True):
            self._take(one, verdict)
            self._is_recorded(one.row.id)
        self.failed = False

    def _begin_span(self) -> None:
        if self._span is None and self._store.durability.submits:
            self._span = Span(self._store)

    def _is_recorded(self, job_id: str) -> None:
        self.recorded += 1
        if self._span:
            self._unsure.append(job_id)

    @property
    def is_sure(self) -> bool:
        """Is all that is recorded as durable as it has to be?"""
        return not self._unsure

    def confirm(self) -> None:
        """Wait until it is.  Raises: `NotConfirmed`."""
        if self._span and self._unsure:
            self.failed = True
            self._span.confirm(self._unsure)
            self.failed, self._span, self._unsure = False, None, []

    def _take(self, one: Added, verdict: Verdict | None) -> None:
        if verdict is None and one.entry and not self._again:
            verdict = bulk.create(self._store, one.entry)
        if verdict is not None:
            one.then(verdict)

    def flush(self) -> None:
        """Record what was added.  Raises: as `settle`."""
        self.start()
        self.settle()

    def close(self) -> None:
        """Nobody waits for what was begun."""
        if self._begun and self._begun[1]:
            self._begun[1].close()

    def _record(self, added: list[Added]) -> Iterator[Verdict | None]:
        """Those that are alike together, others each by its own."""
        for like, group in groupby(added, lambda one: one.like):
            chunk = list(group)
            if like is not None:
                yield from bulk.submit(self._store, like, [one.row for one in chunk], operation())
            else:
                yield from bulk.create_all(self._store, [one.entry for one in chunk if one.entry])


_batch: ContextVar[Batch | None] = ContextVar("jobkit_batch", default=None)


def current() -> Batch | None:
    """The batch that is open."""
    return _batch.get()


@contextmanager
def batched(batch: Batch) -> Iterator[Batch]:
    """What is sent inside is added to it; what is left is recorded at the end."""
    token = _batch.set(batch)
    try:
        yield batch
        batch.flush()
        batch.confirm()
    finally:
        _batch.reset(token)
        batch.close()

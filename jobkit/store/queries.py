"""Reading: one job, its path and log, pages of jobs, counts, and the live announcements."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, NamedTuple, cast

from jobkit.errors import InvalidOption
from jobkit.model import LogLine, Transition
from jobkit.states import State
from jobkit.store import records
from jobkit.store.jobs import JobStore

#: Entries of an index one call looks at.
BUDGET = 500


class Cursor(NamedTuple):
    """Where a page ended: opaque text for callers; score, number of the index and id for the script."""

    score: str = "+inf"
    number: int = 0
    job_id: str = ""

    @classmethod
    def read(cls, text: str | None) -> Cursor:
        """The place a text stands for, None for the beginning.  Raises: `InvalidOption`."""
        if text is None:
            return cls()
        parts = re.fullmatch(r"(\d{1,16})~(\d{1,3})~(.+)", text, re.ASCII | re.DOTALL)
        if not parts:
            raise InvalidOption(option="cursor", value=text, allowed="must be what an earlier page gave as its cursor")
        return cls(parts[1], int(parts[2]), parts[3])

    def __str__(self) -> str:
        return f"{self.score}~{self.number}~{self.job_id}"


def fields(store: JobStore, job_id: str, *names: str) -> dict[str, str]:
    """Fields of one record, as text.  Raises: `JobNotFound`."""
    values = store.call(lambda: store.client.hmget(store.keys.job(job_id), ["state", *names]))
    if values[0] is None:
        raise store.absence(job_id)
    return records.texts(dict(zip(("state", *names), values, strict=True)))


def record(store: JobStore, job_id: str) -> dict[bytes, bytes]:
    """The whole record, as it is stored; of an ended job that is a use.  Raises: `JobNotFound`."""
    flat = store.read(job_id)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def history(store: JobStore, job_id: str) -> tuple[Transition, ...]:
    """Every transition of every run, oldest first.  Raises: `JobNotFound`."""
    return records.path(job_id, fields(store, job_id, "path").get("path", ""))


def log(store: JobStore, job_id: str) -> tuple[LogLine, ...]:
    """The kept log lines, oldest first.  Raises: `JobNotFound`."""
    return records.log(job_id, fields(store, job_id, "log").get("log", ""))


def page(
    store: JobStore,
    states: Iterable[State] = (),
    task: str = "",
    owner: str = "",
    tag: str = "",
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[tuple[str, dict[str, str]]], str | None]:
    """One page, newest first: (id, fields) of each job, and the cursor of the next page or None.

    The index of an owner, else of a tag, else those of states are walked; what they do not say of a job is looked up in
    at most `BUDGET` records per call, so a page can hold fewer jobs than asked for, or none, and still have a next one.
    """
    given = set(states)
    wanted = tuple(state for state in State if state in given)
    if owner or tag:
        indexes = [("owner", owner) if owner else ("tag", tag)]
        sieved = bool(task or wanted or (owner and tag))
    else:
        indexes, sieved = [("state", state.value) for state in wanted or State], bool(task)
    budget = max(BUDGET, limit) if sieved else limit + 1
    filters = (",".join(wanted), task, owner, tag, ",".join(records.BRIEF))
    score, number, last, found = store.run(
        "query", limit, budget, *Cursor.read(cursor), *filters, *(part for pair in indexes for part in pair)
    )
    jobs = [(row[0].decode(), records.texts(dict(zip(records.BRIEF, row[1:], strict=False)))) for row in found]
    return jobs, str(Cursor(score.decode(), number, last.decode())) if last else None


def counts(store: JobStore) -> dict[State, int]:
    """How many jobs stand in each state, from the sizes of the indexes."""

    def read() -> list[Any]:
        with store.client.pipeline(transaction=False) as pipe:
            for state in State:
                pipe.zcard(store.keys.state(state))
            return pipe.execute()

    return dict(zip(State, store.call(read), strict=True))


def announcements(
    store: JobStore, job_id: str | None, ready: list[bool], until: float = math.inf
) -> Iterator[tuple[str, Transition] | None]:
    """Transitions as they happen, of one job or of all; None about once a second while nothing does.

    And None at `until`, seconds of the monotonic clock.
    `ready` gets an entry once the subscription stands: what is read after that cannot be missed.
    """
    channel = store.keys.key("events", job_id or "*")
    prefix = len(store.keys.key("events"))
    with closing(cast(Any, store.client).pubsub(ignore_subscribe_messages=False)) as pubsub:
        store.call(lambda: (pubsub.subscribe if job_id else pubsub.psubscribe)(channel))
        while True:
            message = store.call(lambda: pubsub.get_message(timeout=min(1.0, max(0.0, until - time.monotonic()))))
            if message is None:
                yield None
            elif message["type"].endswith("subscribe"):
                ready.append(True)
                yield None
            else:
                name = message["channel"].decode()[prefix:]
                yield name, records.event(name, message["data"].decode())

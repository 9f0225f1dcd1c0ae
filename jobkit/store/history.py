"""The history of executions: what ran of each definition, when, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from jobkit.model import Execution
from jobkit.states import Outcome, State
from jobkit.store import records
from jobkit.store.jobs import JobStore
from jobkit.store.recipes import ms

#: Entries one call reads.
PAGE = 200


def keep(store: JobStore, age: float, size: int) -> None:
    """Have the history kept for so many seconds, and below so many bytes."""
    bounds: dict[Any, Any] = {"history_age": round(age * 1000), "history_bytes": size}
    store.call(lambda: store.client.hset(store.keys.key("about"), mapping=bounds))


def trim(store: JobStore, most: int = 200) -> int:
    """Drop what is older than it is kept, and definitions that were made for a while; returns how many of both."""
    return sum(map(int, store.run("trim", most)))


def read(store: JobStore, definition: str = "", since: datetime | None = None) -> Iterator[Execution]:
    """Executions, newest first: of one definition or of all; those that ended at `since` or later."""
    oldest = "-" if since is None else str(ms(since))
    return _all(store, oldest) if not definition else _own(store, definition, oldest)


def _all(store: JobStore, oldest: str) -> Iterator[Execution]:
    last = "+"
    while True:
        found: Any = store.call(lambda: store.client.xrevrange(store.keys.key("history"), last, oldest, count=PAGE))  # noqa: B023
        yield from (execution(place.decode(), records.texts(fields)) for place, fields in found)
        if len(found) < PAGE:
            return
        last = "(" + found[-1][0].decode()


def _own(store: JobStore, definition: str, oldest: str) -> Iterator[Execution]:
    own, begin = store.keys.key("executions", definition), 0
    least = "-inf" if oldest == "-" else oldest
    while True:
        places: Any = store.call(lambda: store.client.zrevrangebyscore(own, "+inf", least, start=begin, num=PAGE))  # noqa: B023
        yield from _at(store, places)
        begin += PAGE
        if len(places) < PAGE:
            return


def _at(store: JobStore, places: Sequence[bytes]) -> Iterator[Execution]:
    def ask() -> list[Any]:
        with store.client.pipeline(transaction=False) as pipe:
            for place in places:
                pipe.xrange(store.keys.key("history"), place, place)
            return pipe.execute()

    for found in store.call(ask) if places else ():
        yield from (execution(place.decode(), records.texts(fields)) for place, fields in found)


def behind(store: JobStore, place: str) -> list[Execution]:
    """The next executions behind a place, oldest first; "" is the beginning."""
    begin = f"({place}" if place else "-"
    found: Any = store.call(lambda: store.client.xrange(store.keys.key("history"), begin, "+", count=PAGE))
    return [execution(at.decode(), records.texts(fields)) for at, fields in found]


def execution(place: str, fields: dict[str, str]) -> Execution:
    """One entry of the stream."""
    ended = records.when(fields.get("ended")) or datetime.fromtimestamp(0, timezone.utc)
    return Execution(
        place=place,
        definition=fields.get("definition", ""),
        job_id=fields.get("job", ""),
        run=int(fields.get("run") or 0),
        task=fields.get("task", ""),
        source=fields.get("source", ""),
        queued_at=records.when(fields.get("queued")),
        started_at=records.when(fields.get("started")),
        ended_at=ended,
        state=State(fields["state"]),
        outcome=Outcome(fields["outcome"]) if fields.get("outcome") else None,
        message=fields.get("message", ""),
        agent=fields.get("agent", ""),
    )

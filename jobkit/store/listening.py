"""Hearing of the ends of many jobs, without missing one: what is announced is a hint, the records decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, cast

from jobkit.states import State
from jobkit.store.jobs import JobStore

#: Channels, or records, one call asks for.
BATCH = 1000
#: Announcements that are taken in one go.
DRAIN = 5000


class Listener:
    """Hears of the ends of these jobs, from the moment it is made; `close` it.

    Whoever looks at the records once after that, and at those it names from then on, misses no end: also where the
    connection was lost, as it then names them all.
    """

    def __init__(self, store: JobStore, job_ids: Sequence[str]) -> None:
        self._store, self._ids = store, job_ids
        self._prefix = len(store.keys.key("events"))
        self._pubsub: Any = cast(Any, store.client).pubsub(ignore_subscribe_messages=False)
        for batch in batches(job_ids):
            channels = [store.keys.key("events", job_id) for job_id in batch]
            store.call(lambda channels=channels: self._pubsub.subscribe(*channels))  # type: ignore[misc]
        standing = 0
        while standing < len(job_ids):
            message = self._next(1.0)
            standing += bool(message and message["type"] == "subscribe")

    def hear(self, timeout: float) -> Iterable[str]:
        """The ids of those that may have ended, waiting so many seconds for the first; none where it is quiet."""
        found: dict[str, None] = {}
        message = self._next(timeout)
        for _ in range(DRAIN):
            if message is None:
                break
            if message["type"] == "subscribe":
                found = dict.fromkeys(self._ids)  # the connection was lost, and what was announced meanwhile
            elif _is_end(message["data"]):
                found[message["channel"].decode()[self._prefix :]] = None
            message = self._next(0)
        return found

    def _next(self, timeout: float) -> Any:
        return self._store.call(lambda: self._pubsub.get_message(timeout=timeout))

    def close(self) -> None:
        """Give the connection back."""
        self._pubsub.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _is_end(announced: bytes) -> bool:
    target = announced.split(b"\t", 4)[3].decode()
    return target not in State.__members__ or not State(target).is_live


def batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids, so many at a time as one call takes."""
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def over(store: JobStore, job_ids: Iterable[str]) -> tuple[dict[str, dict[bytes, bytes]], list[str]]:
    """The records of those of these jobs that have ended, and the ids of which there is no record."""
    wanted, ended, missing = list(job_ids), list[str](), list[str]()
    for batch in batches(wanted):
        for job_id, state in zip(batch, _each(store, batch, "hget", "state"), strict=True):
            if state is None:
                missing.append(job_id)
            elif not State(state.decode()).is_live:
                ended.append(job_id)
    found: dict[str, dict[bytes, bytes]] = {}
    for batch in batches(ended):
        found |= zip(batch, _each(store, batch, "hgetall"), strict=True)
    gone = [job_id for job_id, record in found.items() if b"state" not in record]
    return {job_id: record for job_id, record in found.items() if record}, missing + gone


def _each(store: JobStore, job_ids: Sequence[str], command: str, *args: str) -> list[Any]:
    def read() -> list[Any]:
        with closing(store.client.pipeline(transaction=False)) as pipe:
            for job_id in job_ids:
                getattr(pipe, command)(store.keys.job(job_id), *args)
            return pipe.execute()

    return store.call(read)

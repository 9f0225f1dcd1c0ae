"""Records and indexes that do not tell the same story: after an eviction, or by an error."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

from jobkit.states import State
from jobkit.store.belonging import strays
from jobkit.store.jobs import JobStore
from jobkit.store.keys import kind_of

#: Keys, or entries, one call looks at.
PAGE = 500
#: Indexes whose every entry must have a record.
INDEXES = ("state", "owner", "tag", "ended")


def orphans(store: JobStore) -> tuple[int, dict[str, list[str]]]:
    """How many jobs were looked at, and the ids, or keys, of what does not fit, by what it is.

    What does not fit is looked at once more: jobs go on meanwhile.
    """
    found: dict[str, list[str]] = defaultdict(list)
    looked = 0
    for kind, name, key in _keys(store):
        looked += kind == "job"
        for what, one in _of_key(store, kind, name, key):
            found[what].append(one)
    return looked, dict(found)


def _of_key(store: JobStore, kind: str, name: str, key: str) -> Iterator[tuple[str, str]]:
    if kind == "job":
        yield from ((what, name) for what in _of_record(store, name) if what in _of_record(store, name))
    elif kind in INDEXES:
        yield from ((f"entries of {kind} indexes without a record", one) for one in _without_record(store, key))
    elif not kind:
        yield "keys of no kind", key
    else:
        yield from strays(store, kind, name)


def _keys(store: JobStore) -> Iterator[tuple[str, str, str]]:
    """Every key of the namespace: its kind ("" for none), what it is called, and the whole key."""
    for key in every_key(store):
        yield *kind_of(key.removeprefix(store.keys.base)), key


def every_key(store: JobStore) -> Iterator[str]:
    """Every key of the namespace, once."""
    seen: set[str] = set()
    cursor, pattern = 0, _literally(store.keys.base) + "*"
    while True:
        cursor, page = store.call(partial(_scan, store, cursor, pattern))
        for raw in page:
            key = raw.decode("utf-8", "surrogateescape")
            if key not in seen:
                seen.add(key)
                yield key
        if not cursor:
            return


def _scan(store: JobStore, cursor: int, pattern: str) -> tuple[int, list[bytes]]:
    found: Any = store.client.scan(cursor, match=pattern, count=PAGE)
    return found[0], found[1]


def _literally(base: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in base)


def _of_record(store: JobStore, job_id: str) -> Iterator[str]:
    key = store.keys.job(job_id)

    def read() -> list[Any]:
        with store.client.pipeline(transaction=True) as pipe:
            pipe.hmget(key, ["state", "owner", "expires"])
            pipe.pttl(key)
            pipe.zscore(store.keys.key("pinned"), job_id)
            for state in State:
                pipe.zscore(store.keys.state(state), job_id)
            return pipe.execute()

    (state, owner, expires), ttl, pinned, *scores = store.call(read)
    if state is None:
        return
    places = [place.value.encode() for place, score in zip(State, scores, strict=True) if score is not None]
    if places != [state]:
        yield "records in no index of their state"
    if State(state.decode()).is_live:
        if ttl != -1:
            yield "live jobs that expire"
    elif expires and pinned is None and not _may_go(store, job_id, owner, ttl):
        yield "ended jobs that never go"


def _may_go(store: JobStore, job_id: str, owner: bytes | None, ttl: int) -> bool:
    index = store.keys.key("ended", (owner or b"").decode())
    return ttl != -1 and store.call(lambda: store.client.zscore(index, job_id)) is not None


def _without_record(store: JobStore, key: str) -> Iterator[str]:
    size: Any = store.call(lambda: store.client.zcard(key))
    for start in range(0, size, PAGE):
        ids: Any = store.call(lambda start=start: store.client.zrange(key, start, start + PAGE - 1))  # type: ignore[misc]
        yield from (job_id for job_id in _missing(store, key, [one.decode() for one in ids]))


def _missing(store: JobStore, key: str, ids: list[str]) -> list[str]:
    def read() -> list[Any]:
        with store.client.pipeline(transaction=True) as pipe:
            for job_id in ids:
                pipe.exists(store.keys.job(job_id))
                pipe.zscore(key, job_id)
            return pipe.execute()

    found = store.call(read)
    return [
        one for one, there, score in zip(ids, found[::2], found[1::2], strict=True) if score is not None and not there
    ]

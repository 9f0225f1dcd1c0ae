"""What everything jobkit has written takes, by kind of key."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from jobkit.model import Footprint
from jobkit.states import State
from jobkit.store.jobs import JobStore
from jobkit.store.keys import kind_of
from jobkit.store.orphans import every_key

#: Keys one call asks for.
PAGE = 500
#: What the kinds of keys are about.
LIVE, ENDED, INDEXES, OTHER = "live jobs", "ended jobs", "indexes", "other"
_OF = {
    INDEXES: "state owner tag due ended read heads owners weights outbox deadlines suspects after",
    "held back": "pinned pins pinners family kin families",
    "jobs gone": "gone retention",
    "locks": "lock waiters rate locks tickets openings",
    "blocks": "blocked blocks",
    "history": "history executions",
    "definitions": "definition definitions declared ticks expiring throttled",
    "families": "children rollback unsettled",
    "workers": "workers held orders reached runtimes",
}
ABOUT = {kind: about for about, kinds in _OF.items() for kind in kinds.split()}
_SIZES = {b"hash": "hlen", b"zset": "zcard", b"set": "scard", b"list": "llen", b"stream": "xlen"}


def footprint(store: JobStore) -> list[Footprint]:
    """Keys, entries and bytes of each kind, the largest first; a key that goes meanwhile is left out."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    page: list[str] = []
    for key in every_key(store):
        page.append(key)
        if len(page) == PAGE:
            _add(store, page, sums)
            page = []
    _add(store, page, sums)
    return sorted((Footprint(*what, *numbers) for what, numbers in sums.items()), key=lambda one: -one.bytes)


def per_ended_job(found: list[Footprint]) -> float | None:
    """Bytes an ended job takes: its record, and its part of the indexes all jobs share; None if there is none."""
    ended, live, indexes = ([one for one in found if one.about == about] for about in (ENDED, LIVE, INDEXES))
    jobs = sum(one.keys for one in ended)
    if not jobs:
        return None
    every = jobs + sum(one.keys for one in live)
    return sum(one.bytes for one in ended) / jobs + sum(one.bytes for one in indexes) / every


def _add(store: JobStore, page: list[str], sums: dict[tuple[str, str], list[int]]) -> None:
    kinds = [kind_of(key.removeprefix(store.keys.base))[0] for key in page]
    types = _pipelined(store, [("type", key) for key in page])
    counts = _pipelined(store, [(_SIZES.get(kind, "exists"), key) for kind, key in zip(types, page, strict=True)])
    sizes = _pipelined(store, [("memory_usage", key) for key in page])
    jobs = [key for kind, key in zip(kinds, page, strict=True) if kind == "job"]
    states = dict(zip(jobs, _pipelined(store, [("state", key) for key in jobs]), strict=True))
    for key, kind, count, size in zip(page, kinds, counts, sizes, strict=True):
        if size:
            for place, number in enumerate((1, int(count), int(size))):
                sums[_about(kind, states.get(key)), kind or "?"][place] += number


def _about(kind: str, state: bytes | None) -> str:
    if kind == "job":
        return LIVE if state and State(state.decode()).is_live else ENDED
    return ABOUT.get(kind, OTHER)


def _pipelined(store: JobStore, calls: list[tuple[str, str]]) -> list[Any]:
    def read() -> list[Any]:
        with store.client.pipeline(transaction=False) as pipe:
            for command, key in calls:
                if command == "memory_usage":
                    pipe.memory_usage(key, samples=0)
                elif command == "state":
                    pipe.hget(key, "state")
                else:
                    getattr(pipe, command)(key)
            return pipe.execute(raise_on_error=False)

    return [0 if isinstance(one, Exception) else one for one in store.call(read)]

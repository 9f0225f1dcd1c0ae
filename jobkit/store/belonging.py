"""Keys of locks, families, definitions, pins, blocks and workers that belong to nothing any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jobkit.store.jobs import JobStore


def strays(store: JobStore, kind: str, name: str) -> Iterator[tuple[str, str]]:
    """What of this key belongs to nothing: what that is, and its name.

    It is looked at once more before it is said: jobs go on meanwhile.
    """
    if check := CHECKS.get(kind):
        again: dict[str, set[str]] = {}
        for what, lost in check(store, name):
            if what not in again:
                again = {text: set(names) for text, names in check(store, name)}
            yield from ((what, one) for one in lost if one in again.get(what, ()))


Found = Iterator[tuple[str, list[str]]]


def _texts(found: Iterable[bytes]) -> list[str]:
    return [one.decode("utf-8", "surrogateescape") for one in found]


def _lacking(store: JobStore, command: str, keys: Iterable[tuple[str, str]]) -> list[str]:
    """Names for which Redis answers this question about their key with nothing."""
    wanted = list(keys)

    def ask() -> list[Any]:
        with store.client.pipeline(transaction=False) as pipe:
            for _, key in wanted:
                getattr(pipe, command)(key)
            return pipe.execute()

    return [name for (name, _), found in zip(wanted, store.call(ask), strict=True) if not found]


def _without_record(store: JobStore, ids: Iterable[str]) -> list[str]:
    return _lacking(store, "exists", ((job_id, store.keys.job(job_id)) for job_id in ids))


def _ask(store: JobStore, command: str, kind: str, name: str, *args: Any) -> Any:
    return store.call(lambda: getattr(store.client, command)(store.keys.key(kind, name), *args))


def _lock(store: JobStore, name: str) -> Found:
    holders = filter(None, _texts(_ask(store, "hkeys", "lock", name)))
    yield "holders of locks without a record", _without_record(store, holders)
    yield from _listed(store, name)


def _waiters(store: JobStore, name: str) -> Found:
    waiting = (member[1:] for member in _texts(_ask(store, "zrange", "waiters", name, 0, -1)))
    yield "waiters for locks without a record", _without_record(store, waiting)
    yield from _listed(store, name)


def _listed(store: JobStore, name: str) -> Found:
    yield "locks in no list", [] if _ask(store, "sismember", "locks", "", name) else [name]


def _locks(store: JobStore, _: str) -> Found:
    names = _texts(_ask(store, "smembers", "locks", ""))
    held = _lacking(store, "exists", ((name, store.keys.key("lock", name)) for name in names))
    free = _lacking(store, "exists", ((name, store.keys.key("waiters", name)) for name in held))
    yield "locks nobody holds or waits for", free


def _definition(store: JobStore, name: str) -> Found:
    there = _ask(store, "zscore", "definitions", "", name) is not None
    yield "definitions in no list", [] if there else [name]


def _of_definitions(kind: str) -> Callable[[JobStore, str], Found]:
    def check(store: JobStore, _: str) -> Found:
        names = {one.partition("~")[0] for one in _texts(_ask(store, "zrange", kind, "", 0, -1))}
        keys = ((name, store.keys.key("definition", name)) for name in names)
        yield f"entries of {kind} without a definition", _lacking(store, "exists", keys)

    return check


def _of_record(what: str) -> Callable[[JobStore, str], Found]:
    def check(store: JobStore, name: str) -> Found:
        yield f"{what} of jobs without a record", _without_record(store, [name])

    return check


def _children(store: JobStore, name: str) -> Found:
    # What a job has sent may outlive it; a child that Redis took is forgotten with its parent.
    gone = _without_record(store, [name])
    yield (
        "children without a record, of no parent",
        gone and _without_record(store, _texts(_ask(store, "zrange", "children", name, 0, -1))),
    )


def _pinned(store: JobStore, _: str) -> Found:
    yield "pinned jobs without a record", _without_record(store, _texts(_ask(store, "zrange", "pinned", "", 0, -1)))


def _family(store: JobStore, name: str) -> Found:
    live, waits = _ask(store, "hget", "family", name, "live"), _ask(store, "zscore", "families", "", name)
    yield "families that never end", [name] if int(live or 0) <= 0 and waits is None else []


def _kin(store: JobStore, name: str) -> Found:
    yield "members of no family", [] if _ask(store, "exists", "family", name) else [name]


def _blocked(store: JobStore, name: str) -> Found:
    yield "jobs held back by no block", [] if _ask(store, "hexists", "blocks", "", name) else [name]
    ids = _texts(_ask(store, "zrange", "blocked", name, 0, -1))
    yield "jobs held back without a record", _without_record(store, ids)


def _held(store: JobStore, name: str) -> Found:
    yield "runs of unknown workers", [] if _ask(store, "zscore", "workers", "", name) is not None else [name]


#: Those kinds of keys that have to belong to something.
CHECKS: dict[str, Callable[[JobStore, str], Found]] = {
    "lock": _lock, "waiters": _waiters, "locks": _locks,
    "definition": _definition, **{kind: _of_definitions(kind) for kind in ("definitions", "ticks", "expiring")},
    "children": _children, "rollback": _of_record("compensations"), "pins": _of_record("pins"), "pinned": _pinned,
    "family": _family, "kin": _kin, "blocked": _blocked, "held": _held,
}  # fmt: skip

"""What could lose jobs, or already has: findings about a Redis and what is stored in it, each with what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from redis.exceptions import RedisError

from jobkit.errors import SchemaMismatch, StoreRefused, UnsafeStore
from jobkit.model import Finding
from jobkit.store.durability import PLACES, lacking
from jobkit.store.jobs import JobStore
from jobkit.store.orphans import orphans
from jobkit.store.rights import rights

#: Oldest Redis that has all commands; from `FLAGS` on scripts go on while it is full.
OLDEST, FLAGS = (6, 2), (7, 0)
#: Seconds the clocks of Redis and of this machine may be apart, until that is a warning, an error.
ODD, WRONG = 1.0, 60.0
#: The part of `maxmemory` from which on it is nearly full.
NEARLY = 0.8
#: Bytes a field may have for Redis to keep a hash packed, below which most records of jobs are not.
PACKED = 1024

Facts = dict[str, Any]


def examine(store: JobStore, *, deep: bool = True) -> list[Finding]:
    """Every check, in order; `deep` also looks at every job (a few µs of Redis each).  Raises: `StoreUnavailable`."""
    facts: Facts = store.call(lambda: store.client.info("everything"))
    checks = (
        _version,
        _role,
        _policy,
        _memory,
        _packing,
        _persistence,
        _durability,
        _clock,
        _schema,
        _rights,
        _workers,
    )
    found = [_checked(check, store, facts) for check in checks]
    return found + (_orphans(store) if deep else [])


def _checked(check: Callable[[JobStore, Facts], Finding], store: JobStore, facts: Facts) -> Finding:
    try:
        return check(store, facts)
    except StoreRefused as exc:
        return Finding("error", check.__name__.strip("_"), exc.reason, "See what is found about rights.")


def at_start(store: JobStore) -> Iterator[Finding]:
    """What a worker says when it starts: only what can lose jobs.

    Raises: `UnsafeStore` where Redis itself may take jobs that have not ended.
    """
    facts: Facts = store.call(lambda: store.client.info("everything"))
    if facts.get("maxmemory_policy", "").startswith("allkeys") and facts.get("maxmemory"):
        raise UnsafeStore(url=store.url, reason=_policy(store, facts).found)
    found = (check(store, facts) for check in (_version, _policy, _persistence))
    return (finding for finding in found if finding.level != "ok")


def _version(store: JobStore, facts: Facts) -> Finding:
    name = "valkey" if "valkey_version" in facts else "redis"
    text = str(facts.get(f"{name}_version"))
    version = tuple(int(part) for part in text.split(".")[:2])
    found = f"{name.title()} {text}"
    if name == "redis" and version < OLDEST:
        return Finding("error", "version", found, "Use Redis 6.2, Valkey 7.2, or newer.")
    if name == "redis" and version < FLAGS:
        return Finding("warning", "version", found, "From 7.0 on jobs can also end while the memory is full: upgrade.")
    return Finding("ok", "version", found)


def _role(store: JobStore, facts: Facts) -> Finding:
    role = str(facts.get("role"))
    if role != "master":
        return Finding("error", "role", role, "Jobs are written: give the address of the master.")
    return Finding("ok", "role", role)


def _policy(store: JobStore, facts: Facts) -> Finding:
    policy, most = str(facts.get("maxmemory_policy")), int(facts.get("maxmemory", 0))
    found = f"maxmemory-policy {policy}, maxmemory {most:,}"
    if policy.startswith("allkeys"):
        what = "Redis may take any key when it is full, live jobs too: CONFIG SET maxmemory-policy noeviction"
        return Finding("error" if most else "warning", "eviction", found, what)
    if policy in ("volatile-random", "volatile-ttl", "volatile-lfu"):
        return Finding("warning", "eviction", found, "Only ended jobs can go, but not in our order: use volatile-lru.")
    return Finding("ok", "eviction", found)


def _memory(store: JobStore, facts: Facts) -> Finding:
    used, most = int(facts["used_memory"]), int(facts.get("maxmemory", 0))
    found = f"{used:,} bytes used" + (f" of {most:,}" if most else ", no limit")
    if most and used > NEARLY * most:
        what = "New jobs are refused when it is full: raise maxmemory, or lower jobkit_retention."
        return Finding("warning", "memory", found, what)
    return Finding("ok", "memory", found)


def _packing(store: JobStore, facts: Facts) -> Finding:
    name = "hash-max-listpack-value"  # called so from Redis 7.0 on; the older name is understood by all
    size = _config(store, "hash-max-ziplist-value") or _config(store, name)
    found = f"{name} {size}" if size else "cannot be asked"
    if size and int(size) < PACKED:
        return Finding("ok", "packing", found, f"A job takes two fifths less with 4096: CONFIG SET {name} 4096")
    return Finding("ok", "packing", found)


def _persistence(store: JobStore, facts: Facts) -> Finding:
    append = bool(facts.get("aof_enabled"))
    saves = _config(store, "save")
    found = "append-only file" if append else "snapshots" if saves else "nothing is written to disk"
    for what in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if facts.get(what, "ok") != "ok":
            return Finding("error", "persistence", f"{found}; {what} {facts[what]}", "Look into the log of Redis.")
    if append:
        return Finding("ok", "persistence", found)
    if saves:
        return Finding("warning", "persistence", found, "A crash loses what came since: CONFIG SET appendonly yes")
    return Finding("error", "persistence", found, "A restart of Redis loses every job: CONFIG SET appendonly yes")


def _durability(store: JobStore, facts: Facts) -> Finding:
    found = f"a job is accepted once it is {PLACES[store.durability.kind]}"
    if reason := lacking(store.durability, facts):
        return Finding("error", "durability", f"{found}; {reason}", "Jobs are refused: change that, or the setting.")
    return Finding("ok", "durability", found)


def _clock(store: JobStore, facts: Facts) -> Finding:
    before = time.time()
    theirs, after = _time(store), time.time()
    apart = max(0.0, before - theirs, theirs - after)
    level = "error" if apart > WRONG else "warning" if apart > ODD else "ok"
    found = f"{apart:.1f} s between Redis and this machine" if apart >= 0.05 else "the same as on this machine"
    return Finding(level, "clock", found, "" if level == "ok" else "Run NTP on both: start times are off by as much.")


def _time(store: JobStore) -> float:
    found: Any = store.call(lambda: store.client.time())
    return float(found[0] + found[1] / 1e6)


def _schema(store: JobStore, facts: Facts) -> Finding:
    try:
        store.check_schema()
    except SchemaMismatch as exc:
        return Finding("error", "schema", str(exc), "Use the jobkit that wrote this data, or another jobkit_namespace.")
    return Finding("ok", "schema", "readable")


def _rights(store: JobStore, facts: Facts) -> Finding:
    return rights(store)


def _config(store: JobStore, option: str) -> str:
    """An option of the server; "" where this user may not ask."""
    try:
        found: Any = store.client.config_get(option)
        return str(found.get(option, ""))
    except RedisError:
        return ""


def _workers(store: JobStore, facts: Facts) -> Finding:
    at = int(_time(store) * 1000)
    alive: Any = store.call(lambda: store.client.zcount(store.keys.key("workers"), at, "+inf"))
    queued: Any = store.call(lambda: store.client.zcard(store.keys.key("state", "QUEUED")))
    found = f"{alive} alive, {queued:,} jobs queued"
    if queued and not alive:
        return Finding("warning", "workers", found, "Start a worker: celery -A MODULE worker")
    return Finding("ok", "workers", found)


def _orphans(store: JobStore) -> list[Finding]:
    try:
        looked, found = orphans(store)
    except StoreRefused as exc:
        return [Finding("error", "orphans", exc.reason, "See what is found about rights.")]
    if not found:
        return [Finding("ok", "orphans", f"none among {looked:,} jobs")]
    help_ = "What Redis expired is cleared within the retention; if it stays, please report it with this line."
    return [Finding("error", "orphans", f"{len(ids):,} {what}: {_some(ids)}", help_) for what, ids in found.items()]


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")

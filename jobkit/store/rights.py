"""Whether the user of a Redis may do all that the scripts do."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from redis.exceptions import RedisError, ResponseError

from jobkit.errors import StoreError
from jobkit.model import Finding
from jobkit.store.jobs import JobStore
from jobkit.store.scripts import NAMES, source

_COMMAND = re.compile(r"redis\.call\(\"([A-Z]+)\"")


def rights(store: JobStore) -> Finding:
    """May this user do all that the scripts do?"""
    try:
        user = _ask(store, "ACL", "WHOAMI").decode()
        missing = [command for command in commands() if not _may(store, user, command)]
    except RedisError as exc:
        return _try(store, f"cannot be asked ({exc})")
    if missing:
        needed = " ".join(f"+{command.lower()}" for command in missing)
        return Finding("error", "rights", f"user {user} may not: {' '.join(missing)}", f"ACL SETUSER {user} {needed}")
    return Finding("ok", "rights", f"user {user} may do all that is needed")


def _try(store: JobStore, found: str) -> Finding:
    try:
        store.run("read", "doctor", "state")
    except StoreError as exc:
        return Finding("error", "rights", str(exc), "Give this user the permission.")
    return Finding("ok", "rights", f"{found}; scripts run")


def _may(store: JobStore, user: str, command: str) -> bool:
    key = store.keys.key("events" if command == "PUBLISH" else "job", "doctor")
    about = _ask(store, "COMMAND", "INFO", command)
    # redis-py makes a mapping of it.
    arity = abs(next(iter(about.values()))["arity"]) if isinstance(about, dict) else abs(about[0][1])
    args = ["USAGE", key] if command == "MEMORY" else [key, *["1"] * max(0, arity - 2)]
    if command == "TIME":
        args = []
    try:
        answer = _ask(store, "ACL", "DRYRUN", user, command, *args)
    except ResponseError as exc:
        if "wrong number" in str(exc).lower() or "syntax" in str(exc).lower():
            return True
        raise
    return answer in (b"OK", "OK")


def _ask(store: JobStore, *command: str) -> Any:
    client: Any = store.client
    return client.execute_command(*command)


@cache
def commands() -> tuple[str, ...]:
    """Every command the scripts use."""
    return tuple(sorted({name for script in NAMES for name in _COMMAND.findall(source(script))}))

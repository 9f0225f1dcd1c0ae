"""What has to be true of a write before it counts: it is in the memory of Redis, on its disk, or on a replica."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import ResponseError, TimeoutError

from jobkit.errors import CannotConfirm, NotConfirmed, StoreUnavailable
from jobkit.store.connection import patiently, stubbornly

if TYPE_CHECKING:
    from jobkit.store.namespace import Namespace

#: What `accepted` may mean.
MEMORY, FSYNC, REPLICA = KINDS = ("memory", "fsync", "replica")
PLACES = {MEMORY: "in the memory of Redis", FSYNC: "on its disk", REPLICA: "on a replica"}
#: Oldest Redis and Valkey that say when a write is on the disk.
OLDEST = (7, 2)
#: Seconds one command waits at most; then it is asked again, as the Redis may be another one by now.
WAIT = 2.0
OPTION = "jobkit_durability"
Command = tuple[str | int, ...]


class Durability(NamedTuple):
    """Where a job has to be before it is accepted; `claims`, and who acts on it before he does."""

    kind: str = MEMORY
    claims: bool = False

    @property
    def submits(self) -> bool:
        """Is there anything to wait for when a job is submitted?"""
        return self.kind != MEMORY

    def wait(self, seconds: float) -> Command:
        """The command that waits so long for all that was written before it."""
        most = max(1, int(seconds * 1000))
        return ("WAITAOF", 1, 0, most) if self.kind == FSYNC else ("WAIT", 1, most)

    @staticmethod
    def is_reached(answer: Any) -> bool:
        """Is it where it has to be?"""
        return bool(answer[0] if isinstance(answer, list | tuple) else answer)

    @property
    def missing(self) -> str:
        """What to say of a write that is not there."""
        return "is not on the disk yet" if self.kind == FSYNC else "no replica has it yet"


class _NotYet(TimeoutError):
    """What was written is not where it has to be."""


def lacking(durability: Durability, facts: dict[str, Any]) -> str:
    """Why a Redis that says this of itself cannot say when a write is where it has to be; "" if it can."""
    if not durability.submits:
        return ""
    return _no_disk(facts) if durability.kind == FSYNC else _no_replica(facts)


def _no_disk(facts: dict[str, Any]) -> str:
    name = "valkey" if "valkey_version" in facts else "redis"
    version = str(facts[f"{name}_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        return f"{name.title()} {version} cannot say so, 7.2 can; here it may be memory or replica"
    if not facts.get("aof_enabled"):
        return "it keeps no append-only file (CONFIG SET appendonly yes); here it may be memory or replica"
    return ""


def _no_replica(facts: dict[str, Any]) -> str:
    replicas = [value for name, value in facts.items() if re.fullmatch(r"slave\d+", name)]
    if any(one.get("state") == "online" for one in replicas):
        return ""
    return f"of its replicas, {len(replicas)}, none is up to date; without one it may be memory or fsync"


def check(store: Namespace) -> None:
    """Can this Redis say when a write is where it has to be?  Asked once, before the first.

    Raises: `CannotConfirm`, naming the option and what may be instead.
    """
    if store.is_fit or not store.durability.submits:
        return
    facts: Any = store.call(lambda: store.client.info("everything"))
    if reason := lacking(store.durability, facts):
        raise CannotConfirm(url=store.url, option=OPTION, value=store.durability.kind, reason=reason)
    store.is_fit = True


def confirmed(store: Namespace, script: str, args: Sequence[Any], job_ids: Sequence[str], late: str = "") -> Any:
    """Run a verb's script until its write is where it has to be; returns its answer.

    Each try sends the script again, on the connection that waits: where another Redis is the master by now it records
    what went with the old one, else it answers that it has.
    Parameters: as of `Namespace.run`; `job_ids`, what it is about.
    Raises: `CannotConfirm`, `NotConfirmed`, and what `Namespace.run` raises.
    """
    kept: list[Any] = []

    def send(wait: Command) -> Any:
        reply, _, answer = store.followed(script, args, [_mark(store), wait])
        if not kept or reply[0] != b"again":
            kept[:] = [reply]
        return answer

    try:
        _wait(store, send, lambda: bool(kept), job_ids, late)
    except NotConfirmed as exc:
        exc.answer = kept[0]
        raise
    return kept[0]


class Span:
    """Several writes that are waited for together, after the last.

    They count only if all went to one master: another one may not have the first of them.
    """

    def __init__(self, store: Namespace) -> None:
        check(store)
        self._store = store
        self._master = self._now = _master(store.call(lambda: store.client.info("replication")))

    def confirm(self, job_ids: Sequence[str]) -> None:
        """Wait for all that was written since this was made.  Raises: `NotConfirmed`."""
        _wait(self._store, self._send, lambda: True, job_ids)
        if self._now != self._master:
            raise _not_confirmed(self._store, job_ids, "another Redis is the master since")

    def _send(self, wait: Command) -> Any:
        with self._store.client.pipeline(transaction=False) as pipe:
            pipe.execute_command(*_mark(self._store))  # type: ignore[no-untyped-call]
            pipe.execute_command(*wait)  # type: ignore[no-untyped-call]
            pipe.info("replication")
            marked, answer, facts = pipe.execute(raise_on_error=False)
        for said in (marked, facts):
            if isinstance(said, Exception):
                raise said
        self._now = _master(facts)
        return answer


def _wait(
    store: Namespace,
    send: Callable[[Command], Any],
    is_written: Callable[[], bool],
    job_ids: Sequence[str],
    late: str = "",
) -> None:
    check(store)
    over = time.monotonic() + store.patience

    def once() -> None:
        left = WAIT if late else min(WAIT, over - time.monotonic())
        answer = send(store.durability.wait(min(left, _most(store))))
        if isinstance(answer, ResponseError):
            raise _NotYet(str(answer))
        if not store.durability.is_reached(answer):
            raise _NotYet(store.durability.missing)

    try:
        if late:
            return stubbornly(once, store.url, late)
        patiently(once, store.url, store.patience)
    except StoreUnavailable as exc:
        if not is_written():
            raise
        raise _not_confirmed(store, job_ids, exc.reason) from exc


def _most(store: Namespace) -> float:
    """Seconds one command may wait, so that its connection does not give up."""
    given = store.client.get_connection_kwargs().get("socket_timeout")
    return given / 2 if given else WAIT


def _mark(store: Namespace) -> Command:
    # Redis waits for what this connection has written; what is recorded already is not written again.
    return "HINCRBY", store.keys.key("about"), "confirmed", 1


def _master(facts: Any) -> str:
    return str(facts["master_replid"])


def _not_confirmed(store: Namespace, job_ids: Sequence[str], reason: str) -> NotConfirmed:
    ids = tuple(job_ids)
    more = f" and {len(ids) - 1:,} others" if len(ids) > 1 else ""
    kind = store.durability.kind
    return NotConfirmed(url=store.url, reason=reason, option=OPTION, value=kind, job_id=ids[0], job_ids=ids, more=more)

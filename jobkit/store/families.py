"""The verbs on families: what is kept for later, what is next for a job whose end has to wait, who belongs to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from jobkit.errors import CannotSpawn, Fenced, JobUnknown
from jobkit.model import Tree
from jobkit.states import Category, State
from jobkit.store import records
from jobkit.store.graph import BIRTHS, OVER, PUBLISH_LEASE
from jobkit.store.jobs import JobStore
from jobkit.store.values import Plan, Settled, Verdict, clean, operation

#: Compensations one job may have.
COMPENSATIONS = 100
#: Families one round looks at.
BATCH = 50
_LIVE = frozenset(state.value for state in State if state.category not in (Category.ENDED, Category.RESTARTED))
_STOPPED = frozenset((State.CANCELLING_BY_USER, State.CANCELLING_BY_SYSTEM, State.REMOVING))
_FIELDS = ("run", "token", "alive", "ending", "endmeta", "failed", "below", "task", "message", "restarts", "told")


#: Jobs of one tree that are read.
TREE = 20_000
_ROW = (*records.BRIEF, "up", "bonds")


class Kept(NamedTuple):
    """A job whose family has to be looked at, and its end, if that is kept."""

    state: State
    fields: dict[str, str]
    endmeta: bytes

    @property
    def ending(self) -> dict[str, Any] | None:
        """Where it ends, how long it is kept, and the fields of its end; None while its body is at work."""
        text = self.fields.get("ending")
        return json.loads(text) if text else None

    @property
    def alive(self) -> int:
        """How many of its children have not ended."""
        return int(self.fields.get("alive", 0))

    @property
    def is_stopped(self) -> bool:
        """Was it told to end, or has it failed, so that its children have to?"""
        ending = self.ending
        failed = ending is not None and ending["target"] != State.FINISHED
        return self.state in _STOPPED or "below" in self.fields or (failed and self.state is not State.ROLLING_BACK)


def look(store: JobStore, job_id: str) -> Kept:
    """What is to be known to settle a job.  Raises: `JobUnknown`."""
    values: Any = store.call(lambda: store.client.hmget(store.keys.job(job_id), ["state", *_FIELDS]))
    if values[0] is None:
        raise JobUnknown(job_id=job_id, namespace=store.keys.namespace)
    found: dict[Any, Any] = dict(zip(_FIELDS, values[1:], strict=True))
    meta = found.pop("endmeta") or b""
    return Kept(State(values[0].decode()), records.texts(found), meta)


def keep(store: JobStore, job_id: str, holder: Settled, kind: str, plan: Plan) -> None:
    """Keep a compensation ("rollback") or the continuation ("then") of a running job, before this returns.

    Raises: `Fenced`, `CannotSpawn` for more compensations than one job may have.
    """
    entry = json.dumps([str(part) for part in plan.fields()])
    run = holder.run or 0
    code, text, _ = store.run("keep", job_id, run, holder.token, kind, plan.id, entry, COMPENSATIONS)
    if code == b"fenced":
        raise Fenced(job_id=job_id, run=run)
    if code == b"full":
        raise CannotSpawn(job_id=job_id, reason=f"it has {text.decode()} compensations already")


def settle(store: JobStore, job_id: str, by: str, *, bad: bool) -> Verdict:
    """Go one step on with a job whose end is kept: `ok`, `wait` (for children) or `end` (nothing is left to do)."""
    reply = store.run("settle", job_id, operation(), clean(by), int(bad), BIRTHS, OVER)
    return store.verdict(job_id, reply)


def unsettled(store: JobStore, most: int = BATCH) -> list[str]:
    """Jobs whose family somebody has to look at; each is handed to one caller at a time."""
    return [job_id.decode() for job_id in store.run("unsettled", most, PUBLISH_LEASE)]


def is_settled(store: JobStore, job_id: str) -> None:
    """Nobody has to look at this job any more."""
    store.call(lambda: store.client.zrem(store.keys.key("unsettled"), job_id))


def children(store: JobStore, job_id: str) -> list[str]:
    """The children of a job, in the order in which it had them; what its body sent by canvas comes last."""
    found: Any = store.call(lambda: store.client.zrange(store.keys.key("children", job_id), 0, -1))
    return [child.decode() for child in found]


def live(store: JobStore, job_id: str) -> list[str]:
    """Those children of a job that have not ended, and that it spawned."""
    ids = children(store, job_id)
    rows = read(store, ids, ("state", "up"))
    return [
        child for child, row in zip(ids, rows, strict=True) if row.get("state") in _LIVE and row.get("up") == job_id
    ]


def read(store: JobStore, job_ids: Sequence[str], names: Sequence[str]) -> list[dict[str, str]]:
    """The same fields of many records, {} for one that is not there."""

    def ask() -> list[Any]:
        with store.client.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(store.keys.job(job_id), list(names))
            return pipe.execute()

    return [records.texts(dict(zip(names, row, strict=True))) for row in store.call(ask)] if job_ids else []


def results(store: JobStore, job_id: str) -> list[bytes]:
    """What Celery's clients read of each spawned child's result, in order; b"" where there is none."""
    ids = children(store, job_id)

    def ask() -> list[Any]:
        with store.client.pipeline(transaction=False) as pipe:
            for child in ids:
                pipe.hmget(store.keys.job(child), ["meta", "up", "state", "bonds"])
            return pipe.execute()

    rows = store.call(ask) if ids else []
    finished = State.FINISHED.value.encode()
    # Not that of who asks: it continues them.
    mine = [row[:3:2] for row in rows if row[1] == job_id.encode() and b"N" not in row[3]]
    return [(meta or b"") if state == finished else b"" for meta, state in mine]


def tree(store: JobStore, job_id: str) -> Tree:
    """A job and everything below it, at most `TREE` jobs.  Raises: `JobUnknown`."""
    fields = {job_id: read(store, [job_id], _ROW)[0]}
    below: dict[str, list[str]] = {}
    if not fields[job_id].get("state"):
        raise JobUnknown(job_id=job_id, namespace=store.keys.namespace)
    level = [job_id]
    while level and len(fields) < TREE:
        found = [child for parent in level for child in below.setdefault(parent, children(store, parent))]
        level = [child for child in dict.fromkeys(found) if child not in fields]
        rows = read(store, level, _ROW)
        fields |= {child: row for child, row in zip(level, rows, strict=True) if row.get("state")}
        level = [child for child in level if child in fields]

    def build(one: str, over: str) -> Tree:
        row = fields[one]
        kind = "" if not over else "canvas" if row.get("up") != over else "child"
        if kind == "child":
            kind = "compensation" if "K" in row["bonds"] else "continuation" if "N" in row["bonds"] else kind
        return Tree(
            records.job(one, row), kind, tuple(build(each, one) for each in below.get(one, ()) if each in fields)
        )

    return build(job_id, "")

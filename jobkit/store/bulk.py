"""Recording many jobs at once: those that are alike by one script, others by theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Any, NamedTuple

from redis.exceptions import RedisError, ResponseError

from jobkit.store.jobs import JobStore, order, removal
from jobkit.store.keys import checked_id
from jobkit.store.values import Plan, Put, Verdict, clean

#: No message has it.
GAP = "\0"

#: The fields of a record in which jobs differ that are alike.
OWN = ("message", "args", "kwargs")


class Text(NamedTuple):
    """How a text of each is made: one with `GAP` where it has a value of the job, and which these are; 0 is its id."""

    format: str
    order: tuple[int, ...]

    def of(self, row: Row) -> str:
        """The text of this job, as Redis makes it."""
        parts, given = self.format.split(GAP), (row.id, *row.values)
        return parts[0] + "".join([given[place] + part for place, part in zip(self.order, parts[1:], strict=True)])

    def places(self) -> str:
        """The order as Redis is told it."""
        return ",".join(map(str, self.order))


class Row(NamedTuple):
    """One of many: its id, and the values of its texts."""

    id: str
    values: tuple[str, ...]


class Alike(NamedTuple):
    """What many jobs have in common: who submits them, how they start, the queue of their messages, their fields.

    `texts` are those of each: its message for the queue, and what it has of its own (`OWN`).
    """

    by: str
    start: str
    idle: bool
    queue: str
    db: str
    fields: tuple[str | int, ...]
    texts: tuple[Text, ...]


#: The texts of those that are made elsewhere.
_WHOLE = tuple(Text(GAP, (place,)) for place in range(1, 2 + len(OWN)))
_NAMES = ",".join(("", *OWN))


def alone(like: Alike, row: Row) -> tuple[Alike, Row]:
    """One whose texts are made here: for a single one that is less to send."""
    return like._replace(texts=_WHOLE), Row(row.id, tuple(text.of(row) for text in like.texts))


class Entry(NamedTuple):
    """A job to be recorded, and where its message goes."""

    plan: Plan
    put: Put
    by: str
    op: str

    def alike(self) -> tuple[Alike, Row] | None:
        """What it may have in common with others; None of one that only `create` can record."""
        plan, put = self.plan, self.put
        if plan.after or plan.token or plan.up or plan.locks or plan.host or plan.facts.get("parent"):
            return None
        checked_id(plan.id)
        flat = plan.fields()
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        own = tuple(str(fields.pop(name, "")) for name in OWN)
        common = tuple(part for item in fields.items() for part in item)
        start = "" if plan.start is None else str(plan.start)
        like = Alike(clean(self.by), start, plan.suspended, put.queue, put.db, common, _WHOLE)
        return like, Row(plan.id, (put.message, *own))


def submit(
    store: JobStore, like: Alike, rows: Sequence[Row], op: str, sure: Sequence[str] = ()
) -> list[Verdict | None]:
    """Record new jobs that are alike, in one script: all, or none where it raises; `sure` as of `JobStore.run`.

    Returns: for each a verdict, `ok` or `again`; None for an id that has a record, of which `create` decides.
    """
    return _read(store.run("submit", *_given(like, rows, op), sure=sure))


class Flight:
    """The same, begun now and answered later: while Redis records one chunk the next is made."""

    def __init__(self, store: JobStore, like: Alike, rows: Sequence[Row], op: str) -> None:
        self._store, self._args = store, _given(like, rows, op)
        self._pool: Any = store.client.connection_pool
        self._connection: Any = None
        with suppress(RedisError):
            self._connection = self._pool.get_connection()
            self._connection.send_command(*store.command("submit", *self._args))

    def answer(self) -> list[Verdict | None]:
        """What `submit` returns.  Raises: as it does; what has no answer is sent again, and applied once."""
        connection, self._connection = self._connection, None
        reply = None
        if connection is not None:
            try:
                reply = connection.read_response()
            except ResponseError:
                pass  # its script is lost, or it is refused
            except RedisError:
                connection.disconnect()
            finally:
                self._pool.release(connection)
        return _read(self._store.run("submit", *self._args) if reply is None else reply)

    def close(self) -> None:
        """Nobody wants the answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)


def _given(like: Alike, rows: Sequence[Row], op: str) -> list[Any]:
    kept: list[Any] = [_NAMES]
    if like.texts is not _WHOLE:
        texts = zip(("", *OWN), like.texts, strict=True)
        kept = [len(like.texts), *(part for name, text in texts for part in (name, text.format, text.places()))]
    flat = (part for row in rows for part in (row.id, *row.values))
    return [
        op, like.by, like.start, int(like.idle), like.queue, like.db, len(rows[0].values),
        *kept,
        len(like.fields), *like.fields, *flat,
    ]  # fmt: skip


def _read(reply: Any) -> list[Verdict | None]:
    state, *codes = reply
    return [None if code == b"there" else Verdict(code.decode(), state.decode(), 1) for code in codes]


def create(store: JobStore, entry: Entry) -> Verdict:
    """Record one as `JobStore.create` does."""
    return store.create(entry.plan, entry.by, op=entry.op, put=entry.put, stubborn=bool(entry.plan.token))


def create_all(store: JobStore, entries: Sequence[Entry]) -> list[Verdict]:
    """Record each as `create` does, with one round trip; one that Redis did not answer is sent again by itself."""
    calls = [store.creation(entry.plan, entry.by, op=entry.op, put=entry.put) for entry in entries]
    replies = _together(store, "create", calls)
    return [store.created(entry.plan, reply) for entry, reply in zip(entries, replies, strict=True)]


def abort(store: JobStore, job_ids: Sequence[str], by: str, reason: str, grace: float | None) -> list[Verdict]:
    """Abort each, whether it has started or not: `ok`, `refused` where it has ended, `missing` without a record."""
    calls: list[Sequence[Any]] = [removal(job_id, by, reason) for job_id in job_ids]
    verdicts = _verdicts(store, "remove", calls)
    begun = [place for place, verdict in enumerate(verdicts) if verdict.code == "refused"]
    calls = [order(job_ids[place], "cancel", by, reason, grace) for place in begun]
    for place, verdict in zip(begun, _verdicts(store, "ask", calls), strict=True):
        verdicts[place] = verdict
    return verdicts


def _verdicts(store: JobStore, script: str, calls: Sequence[Sequence[Any]]) -> list[Verdict]:
    replies = _together(store, script, calls)
    return [store.verdict(call[0], reply, strict=False) for call, reply in zip(calls, replies, strict=True)]


def _together(store: JobStore, script: str, calls: Sequence[Sequence[Any]]) -> Iterator[Any]:
    """The answers to many calls of a script, in one round trip; one without an answer is sent again by itself.

    That raises then, as the others were: who reads one answer after the other knows how far it went.
    """
    replies: list[Any] = []
    if len(calls) > 1:
        with store.client.pipeline(transaction=False) as pipe, suppress(RedisError):
            for call in calls:
                pipe.execute_command(*store.command(script, *call))  # type: ignore[no-untyped-call]
            replies = pipe.execute(raise_on_error=False)
    for call, reply in zip_longest(calls, replies):
        yield store.run(script, *call) if reply is None or isinstance(reply, Exception) else reply

"""The verbs on definitions: their records, their slots, and the runs they ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, NamedTuple

from jobkit.definitions import Definition, Enabled
from jobkit.errors import BadRecord
from jobkit.model import to_plain
from jobkit.states import steps
from jobkit.store import recipes, records
from jobkit.store.coalescing import TERMS, verdict
from jobkit.store.jobs import JobStore
from jobkit.store.values import Plan, Verdict, clean


@dataclass(frozen=True, slots=True)
class Change:
    """One definition as it is to be written, if it still has the version it had.

    `slot` and `fire` in ms of Redis time, None for none, "keep" to leave them; so `backup`.
    """

    definition: Definition
    slot: int | str | None = None
    fire: int | str | None = None
    backup: int | str | None = None
    declared: str = ""
    more: Mapping[str, str] | None = None


class Defined(NamedTuple):
    """The answer to `define`: `ok` or `again` with versions, `conflict` with id and version of those that differ."""

    code: str
    versions: tuple[int, ...] = ()
    conflicts: tuple[tuple[str, int], ...] = ()


class Due(NamedTuple):
    """An entry of `ticks` whose time has come: what it is of (slot or backup), and when it was due, in ms; and since
    when nothing has fired, in ms."""

    kind: str
    at: int
    definition: Definition
    slot: int | None
    since: int = 0


def define(store: JobStore, changes: Sequence[Change], by: str, op: str, expires: float | None = None) -> Defined:
    """Write definitions, all or none, each only if it still has its version; `expires` in seconds deletes them then."""
    args: list[Any] = [op, clean(by), "" if expires is None else round(expires * 1000)]
    for one in changes:
        flat = _flat(one)
        args += [one.definition.id, one.definition.version, *_times(one), one.declared, len(flat), *flat]
    code, *rest = [part.decode() if isinstance(part, bytes) else part for part in store.run("define", *args)]
    if code == "conflict":
        return Defined(code, conflicts=tuple(zip(rest[::2], map(int, rest[1::2]), strict=True)))
    return Defined(code, tuple(map(int, rest)))


def _flat(change: Change) -> list[str]:
    fields = recipes.to_fields(change.definition) | dict(change.more or {})
    return [part for item in fields.items() for part in item]


def _times(change: Change) -> list[int | str]:
    return ["" if part is None else part for part in (change.slot, change.fire, change.backup)]


def undefine(store: JobStore, *pairs: tuple[str, int | None]) -> list[str]:
    """Delete definitions (id and version, None: whichever); returns those that were."""
    flat = [part for name, version in pairs for part in (name, "" if version is None else version)]
    return [name.decode() for name in store.run("undefine", *flat)] if flat else []


# -- runs ------------------------------------------------------------------------------------------------------------


def _fields(plan: Plan | None, source: str) -> list[str | int]:
    return ["source", clean(source), *(plan.fields() if plan else ())]


def queue(
    store: JobStore, definition: str, job: str, plan: Plan | None, by: str, reason: str, op: str, within: float = 0.0
) -> tuple[Verdict, str]:  # fmt: skip
    """Have it run once more, within so many seconds.

    Parameters: `plan` with the message of a run, None to ask whether one is needed (`wanted`).
    """
    forbidden = Enabled.FULLY_DISABLED.value
    source = f"queued by {by}" + (f": {reason}" if reason else "")
    head = (definition, job, op, clean(by), clean(reason), round(within * 1000), forbidden)
    sure = store.submitted(job) if plan else ()
    return verdict(store.run("queue", *head, *TERMS, *_fields(plan, source), sure=sure))


def once(
    store: JobStore, change: Change, plan: Plan, by: str, reason: str, op: str, keep: float
) -> tuple[Verdict, str]:
    """Make a definition that goes after `keep` seconds, and have it run, in one script: both, or neither.

    Returns: as `queue`; `conflict`, with its version as the run, if there is one of that id.
    """
    one, fields = change.definition, _flat(change)
    source = f"queued by {by}" + (f": {reason}" if reason else "")
    head = (one.id, one.job_id, op, clean(by), clean(reason), round(keep * 1000), *_times(change), len(fields))
    sure = store.submitted(one.job_id)
    return verdict(store.run("once", *head, *TERMS, *fields, *_fields(plan, source), sure=sure))


def due(store: JobStore, most: int, complain: Callable[[BadRecord], None]) -> tuple[datetime, float | None, list[Due]]:
    """What is due: Redis's time, seconds until the next is (None: nothing is to come), and what is now.

    Parameters: `complain` is told of definitions that cannot be read, as a newer release may have written them.
    """
    at, wait, *rest = store.run("due", most)
    found, parts = [], iter(rest)
    for entry, score, flat in zip(parts, parts, parts, strict=True):
        name, _, kind = entry.decode().partition("~")
        fields = records.texts(dict(zip(flat[::2], flat[1::2], strict=True)))
        slot = int(fields["slot"]) if fields.get("slot") else None
        try:
            found.append(
                Due(kind or "slot", int(float(score)), recipes.from_fields(name, fields), slot, _since(fields))
            )
        except BadRecord as exc:
            complain(exc)
    moment = datetime.fromtimestamp(int(at) / 1000, timezone.utc)
    return moment, int(wait) / 1000 if wait else None, found


def _since(fields: Mapping[str, str]) -> int:
    last = fields.get("fires", "").partition(";")[0]
    return sum(map(int, last.split(","))) if last else int(fields.get("created") or 0)


@dataclass(frozen=True, slots=True)
class Step:
    """A slot that is taken, and what comes after it: ms of Redis time; `act` and `overlap` as in `lua/tick.lua`."""

    slot: int
    following: int | None
    fire: int | None
    act: str
    overlap: str = "skip"
    missed: int = 0


def tick(store: JobStore, definition: Definition, job: str, step: Step, plan: Plan | None, by: str) -> Verdict:
    """Take a due slot, if it is still the one and the definition the version that was read."""
    moment = datetime.fromtimestamp(step.slot / 1000, timezone.utc)
    source = f"schedule {to_plain(moment)}"
    reply = store.run(
        "tick", definition.id, job, f"slot{step.slot}", clean(by), source, step.slot, definition.version,
        *("" if part is None else part for part in (step.following, step.fire)), step.act, step.overlap, step.missed,
        steps("cancel"), *TERMS, *_fields(plan, source),
    )  # fmt: skip
    return verdict(reply)[0]


def insure(store: JobStore, definition: Definition, due_at: int, plan: Plan, by: str) -> Verdict:
    """The backup of a definition is due: run it if it has no run."""
    every, source = round((definition.backup_every or 0) * 1000), "backup"
    head = (definition.id, definition.job_id, f"backup{due_at}", clean(by), source, due_at, every)
    return verdict(store.run("insure", *head, *TERMS, *_fields(plan, source)))[0]

"""The verbs on definitions: their records, their slots, and the runs they ask for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, NamedTuple

from jobkit.definitions import CONFIGURED, Definition, Enabled, Status
from jobkit.errors import BadRecord, DefinitionUnknown
from jobkit.model import to_plain
from jobkit.states import ABOUT, FiveState, State, steps
from jobkit.store import blocks, records
from jobkit.store.coalescing import TERMS, verdict
from jobkit.store.jobs import JobStore, Plan, Verdict, clean

#: Fields that are kept as JSON, and those that are seconds for people and milliseconds in Redis.
_JSON = ("data", "args", "schedules", "options")
_SECONDS = ("backup_every", "grace", "catch_up")
_NUMBERS = ("pause_after", "priority")
#: What of a definition's jobs says how it stands, in this order.
_FIRST = (FiveState.IN_PROGRESS, FiveState.QUEUED, FiveState.HOST_BLOCKED, FiveState.SCHEDULED)
#: Jobs of one definition that are looked at for its state.
_JOBS = 20


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
    """An entry of `ticks` whose time has come: what it is of (slot or backup), and when it was due, in ms."""

    kind: str
    at: int
    definition: Definition
    slot: int | None


def now(store: JobStore) -> datetime:
    """Redis's time."""
    seconds, micro = store.call(lambda: store.client.time())
    return datetime.fromtimestamp(seconds + micro // 1000 / 1000, timezone.utc)


def ms(moment: datetime) -> int:
    """A moment as Redis's milliseconds."""
    return round(moment.timestamp() * 1000)


# -- records ---------------------------------------------------------------------------------------------------------


def to_fields(definition: Definition) -> dict[str, str]:
    """The configured fields as they are stored; an empty one is an empty text."""
    plain = definition.to_json()
    return {name: _text(name, plain[name]) for name in CONFIGURED if name != "id"}


def _text(name: str, value: Any) -> str:
    if name in _JSON:
        return json.dumps(value, separators=(",", ":"), sort_keys=True)
    if name in _SECONDS and value is not None:
        return str(round(value * 1000))
    return "" if value is None else str(value)


def from_fields(definition_id: str, fields: Mapping[str, str], status: Status | None = None) -> Definition:
    """A stored definition.  Raises: `BadRecord`."""
    try:
        given = {name: _value(name, fields[name]) for name in CONFIGURED if fields.get(name)}
        return Definition(id=definition_id, version=int(fields["version"]), status=status, **given)
    except (ValueError, TypeError, KeyError) as exc:
        raise BadRecord(job_id=f"@{definition_id}", field="definition", value=str(exc)[:200]) from exc


def _value(name: str, text: str) -> Any:
    if name in _JSON:
        return json.loads(text)
    if name in _SECONDS:
        return int(text) / 1000
    return int(text) if name in _NUMBERS else text


def read(store: JobStore, ids: Sequence[str]) -> list[Definition | None]:
    """These definitions as they stand; None for what there is not."""

    def records_of() -> list[Any]:
        with store.client.pipeline(transaction=False) as pipe:
            for name in ids:
                pipe.hgetall(store.keys.key("definition", name))
                pipe.zscore(store.keys.key("ticks"), name)
                pipe.zrevrange(store.keys.key("tag", f"@{name}"), 0, _JOBS)
            return pipe.execute()

    found = store.call(records_of)
    jobs = [job.decode() for part in found[2::3] for job in part]
    states = dict(zip(jobs, _states(store, jobs), strict=True))
    away: set[str] = set()
    if any(fields.get(b"host") for fields in found[::3]):
        away = {held.name for held in blocks.listing(store) if held.kind == "host"}
    return [
        _read(name, records.texts(fields), score, [states[job.decode()] for job in own], away) if fields else None
        for name, fields, score, own in zip(ids, found[::3], found[1::3], found[2::3], strict=True)
    ]


def _states(store: JobStore, jobs: Sequence[str]) -> list[str]:
    def ask() -> list[Any]:
        with store.client.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hget(store.keys.job(job), "state")
            return pipe.execute()

    return [state.decode() if state else "" for state in store.call(ask)] if jobs else []


def _read(name: str, fields: dict[str, str], score: float | None, states: Iterable[str], away: set[str]) -> Definition:
    stand = {ABOUT[State(state)].tfs for state in states if state}
    if fields.get("host") in away and (stand.intersection(_FIRST) or score is not None):
        stand.add(FiveState.HOST_BLOCKED)
    idle = FiveState.SCHEDULED if score is not None else FiveState.NOT_SCHEDULED
    state = next((one for one in _FIRST if one in stand), idle)
    until = records.when(fields.get("log_until"))
    if until and until <= datetime.now(timezone.utc):
        fields["log_level"], until = fields.get("log_before", "INFO"), None
    status = Status(
        state=state,
        next_at=records.when(str(int(score))) if score is not None else None,
        paused=fields.get("paused", ""),
        fires=tuple(_fire(part) for part in fields.get("fires", "").split(";") if part),
        created_at=records.when(fields.get("created")),
        updated_at=records.when(fields.get("updated")),
        updated_by=fields.get("by", ""),
        log_until=until,
        **{count: int(fields.get(count) or 0) for count in ("fired", "skipped", "missed", "backups", "failures")},
    )
    return from_fields(name, fields, status)


def _fire(part: str) -> tuple[datetime, float]:
    slot, late = part.split(",")
    return datetime.fromtimestamp(int(slot) / 1000, timezone.utc), float(late) / 1000


def get(store: JobStore, definition_id: str) -> Definition:
    """One definition.  Raises: `DefinitionUnknown`."""
    found = read(store, [definition_id])[0]
    if found is None:
        raise DefinitionUnknown(definition_id=definition_id, namespace=store.keys.namespace)
    return found


def ids(store: JobStore, after: str = "", limit: int = 1000) -> list[str]:
    """Ids of definitions in their order, those behind `after`."""
    begin = f"({after}" if after else "-"
    found: Any = store.call(
        lambda: store.client.zrangebylex(store.keys.key("definitions"), begin, "+", start=0, num=limit)
    )
    return [name.decode() for name in found]


def declared(store: JobStore) -> dict[str, str]:
    """What code declared so far, by id."""
    found: Any = store.call(lambda: store.client.hgetall(store.keys.key("declared")))
    return records.texts(found)


def define(store: JobStore, changes: Sequence[Change], by: str, op: str, expires: float | None = None) -> Defined:
    """Write definitions, all or none, each only if it still has its version; `expires` in seconds deletes them then."""
    args: list[Any] = [op, clean(by), "" if expires is None else round(expires * 1000)]
    for one in changes:
        fields = to_fields(one.definition) | dict(one.more or {})
        flat = [part for item in fields.items() for part in item]
        times = ["" if part is None else part for part in (one.slot, one.fire, one.backup)]
        args += [one.definition.id, one.definition.version, *times, one.declared, len(flat), *flat]
    code, *rest = [part.decode() if isinstance(part, bytes) else part for part in store.run("define", *args)]
    if code == "conflict":
        return Defined(code, conflicts=tuple(zip(rest[::2], map(int, rest[1::2]), strict=True)))
    return Defined(code, tuple(map(int, rest)))


def undefine(store: JobStore, *pairs: tuple[str, int | None]) -> list[str]:
    """Delete definitions (id and version, None: whichever); returns those that were."""
    flat = [part for name, version in pairs for part in (name, "" if version is None else version)]
    return [name.decode() for name in store.run("undefine", *flat)] if flat else []


# -- runs ------------------------------------------------------------------------------------------------------------


def _fields(plan: Plan | None, source: str) -> list[str | int]:
    return ["source", clean(source), *(plan.fields() if plan else ())]


def queue(
    store: JobStore, definition: str, job: str, plan: Plan | None, by: str, reason: str, op: str, within: float = 0.0,
    *, always: bool = False,
) -> tuple[Verdict, str]:  # fmt: skip
    """Have it run once more, within so many seconds.

    Parameters: `plan` with the message of a run, None to ask whether one is needed (`wanted`); `always`, even if it is
    disabled or not there.
    """
    forbidden = Enabled.FULLY_DISABLED.value
    source = f"queued by {by}" + (f": {reason}" if reason else "")
    head = (definition, job, op, clean(by), clean(reason), round(within * 1000), forbidden, int(always))
    return verdict(store.run("queue", *head, *TERMS, *_fields(plan, source)))


def due(store: JobStore, most: int) -> tuple[datetime, float | None, list[Due]]:
    """What is due: Redis's time, seconds until the next is (None: nothing is to come), and what is now."""
    at, wait, *rest = store.run("due", most)
    found, parts = [], iter(rest)
    for entry, score, flat in zip(parts, parts, parts, strict=True):
        name, _, kind = entry.decode().partition("~")
        fields = records.texts(dict(zip(flat[::2], flat[1::2], strict=True)))
        slot = int(fields["slot"]) if fields.get("slot") else None
        found.append(Due(kind or "slot", int(float(score)), from_fields(name, fields), slot))
    moment = datetime.fromtimestamp(int(at) / 1000, timezone.utc)
    return moment, int(wait) / 1000 if wait else None, found


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

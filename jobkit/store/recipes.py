"""How a definition becomes a record, and a record a definition; reading them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from jobkit.definitions import CONFIGURED, Definition, Status
from jobkit.errors import BadRecord, DefinitionUnknown
from jobkit.states import ABOUT, FiveState, State
from jobkit.store import blocks, records
from jobkit.store.jobs import JobStore

#: Fields that are kept as JSON, and those that are seconds for people and milliseconds in Redis.
_JSON = ("data", "args", "schedules", "options")
_SECONDS = ("backup_every", "grace", "catch_up")
_NUMBERS = ("pause_after", "priority")
#: What of a definition's jobs says how it stands, in this order.
_FIRST = (FiveState.IN_PROGRESS, FiveState.QUEUED, FiveState.HOST_BLOCKED, FiveState.SCHEDULED)
#: Jobs of one definition that are looked at for its state.
_JOBS = 20


def now(store: JobStore) -> datetime:
    """Redis's time."""
    seconds, micro = store.call(lambda: store.client.time())
    return datetime.fromtimestamp(seconds + micro // 1000 / 1000, timezone.utc)


def ms(moment: datetime) -> int:
    """A moment as Redis's milliseconds."""
    return round(moment.timestamp() * 1000)


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
    """These definitions as they stand; None for what there is not.  Raises: `BadRecord`."""

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

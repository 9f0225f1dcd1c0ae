"""The definitions that are stored: reading and changing them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobkit.definitions import CONFIGURED, Definition
from jobkit.errors import BadRecord, DefinitionConflict, InvalidOption
from jobkit.ext.ids import uuid7
from jobkit.schedules import next_slot, schedule
from jobkit.store import definitions, recipes
from jobkit.store.definitions import Change
from jobkit.store.recipes import ms
from jobkit.store.values import operation

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

#: Days a definition made by `queue_one_time` is kept [TFS].
ONE_TIME_DAYS = 7.0
log = logging.getLogger("jobkit")

#: How often a change that reads, changes and writes by itself is tried when others are faster.
TRIES = 20


class Stored:
    """What `Definitions` reads and writes."""

    def __init__(self, jobs: JobKit) -> None:
        self._jobs = jobs

    # -- reading -----------------------------------------------------------------------------------------------

    def get(self, definition_id: str) -> Definition:
        """One definition and how it stands.  Raises: `DefinitionUnknown`."""
        return recipes.get(self._jobs.store, str(definition_id))

    def query(
        self, name: str = "", task: str = "", owner: str = "", limit: int | None = None, after: str = ""
    ) -> Iterator[Definition]:
        """Definitions by id: whose name or id has `name` in it, of a task, of an owner; `limit` at most, from the id
        behind `after` on."""
        last, left = after, limit
        while left is None or left > 0:
            ids = recipes.ids(self._jobs.store, last, 200)
            for one in self._readable(ids):
                if one and _fits(one, name, task, owner) and (left is None or left > 0):
                    left = None if left is None else left - 1
                    yield one
            if len(ids) < 200:
                return
            last = ids[-1]

    # -- changing ----------------------------------------------------------------------------------------------

    def create(self, id: str = "", *, task: Any, schedule: Any = None, **fields: Any) -> Definition:
        """Store a new definition.

        Parameters: `id`, well known or made anew; `task`, one or its name; `schedule`, anything that `jobkit.schedule`
        takes, or several; the other fields of `Definition`.  A schedule without a time zone is in the app's.
        Raises: `InvalidOption`, `DefinitionConflict` if there is one of that id.
        """
        return self._write([(self.made(id, task=task, schedule=schedule, **fields), None)])[0]

    def update(self, *changed: Definition) -> list[Definition]:
        """Write definitions that were read before and changed by `dataclasses.replace`: all of them, or none.

        Raises: `DefinitionConflict` with both versions, if somebody else has changed one meanwhile.
        """
        stored = recipes.read(self._jobs.store, [one.id for one in changed])
        # Whether it is paused is no matter of who edits it.
        return self._write(
            [(replace(new, status=old.status if old else None), old) for new, old in zip(changed, stored, strict=True)]
        )

    def delete(self, *ids: str) -> list[str]:
        """Delete definitions; what they queued still runs.  Returns the ids of those that were there."""
        return definitions.undefine(self._jobs.store, *((str(name), None) for name in ids))

    def _readable(self, ids: list[str]) -> Iterator[Definition | None]:
        """These definitions; one that cannot be read is said, and harms no other."""
        try:
            yield from recipes.read(self._jobs.store, ids)
        except BadRecord as exc:
            if len(ids) == 1:
                log.error("a definition is left out: %s", exc)
            else:
                for name in ids:
                    yield from self._readable([name])

    def change(self, definition_id: str, how: Callable[[Definition], Definition], **more: str) -> Definition:
        """Read, change by `how`, and write, again while others are faster.  Raises: `DefinitionUnknown`."""
        for _ in range(TRIES):
            old = self.get(definition_id)
            try:
                return self._write([(how(old), old)], more)[0]
            except DefinitionConflict as exc:
                conflict = exc
        raise conflict

    def pause(self, definition_id: str, reason: str = "") -> Definition:
        """Have its schedules and its backup not fire until `resume`; it can still be queued."""
        status = {"paused": reason or "paused"}
        return self.change(definition_id, lambda one: _with_status(one, **status), **status)

    def resume(self, definition_id: str) -> Definition:
        """Have it fire again, from its next slot on; those that passed meanwhile do not count as missed."""
        return self.change(definition_id, lambda one: _with_status(one, paused=""), paused="", failures="0")

    def set_log_level(self, definition_id: str, level: str, for_: float | timedelta | None = None) -> Definition:
        """Change the level of its jobs' log lines, from their next run on; `for_` seconds, then it is as before."""
        seconds = for_.total_seconds() if isinstance(for_, timedelta) else for_
        until = "" if seconds is None else str(ms(self._now()) + round(seconds * 1000))
        before = self.get(definition_id)
        kept = before.log_level if not (before.status and before.status.log_until) else ""
        more = {"log_until": until} | ({"log_before": kept} if kept and until else {})
        return self.change(definition_id, lambda one: replace(one, log_level=level), **more)

    def made(self, id: str = "", *, task: Any, schedule: Any = None, **fields: Any) -> Definition:
        """What `create` would store, not stored: for `update`, which writes new ones too, all or none."""
        return self._made(id or uuid7(), task, schedule, fields)

    def _made(self, id_: str, task: Any, when: Any, fields: dict[str, Any]) -> Definition:
        unknown = fields.keys() - set(CONFIGURED)
        if unknown:
            raise InvalidOption(
                option=sorted(unknown)[0], value=fields[sorted(unknown)[0]], allowed="there is no such field"
            )
        given = {"schedules": self._scheduled(when)} if when is not None else {}
        if "schedules" in fields:
            given = {"schedules": self._scheduled(fields["schedules"])}
        return Definition(id=id_, task=task, **{**fields, **given})

    def _scheduled(self, when: Any) -> list[Any]:
        several = isinstance(when, list | tuple) and not all(isinstance(item, datetime) for item in when)
        return [schedule(one, timezone=str(self._jobs.app.timezone)) for one in (when if several else [when])]

    def _now(self) -> datetime:
        return recipes.now(self._jobs.store)

    def _write(
        self, pairs: list[tuple[Definition, Definition | None]], more: dict[str, str] | None = None, declared: str = "",
        expires: float | None = None,
    ) -> list[Definition]:  # fmt: skip
        at, op = self._now(), operation()
        changes = [
            replace(changed(new, old, at), declared=declared, more=_level(new, old) | (more or {}))
            for new, old in pairs
        ]
        answer = definitions.define(self._jobs.store, changes, self._jobs._by, op, expires)
        if answer.code == "conflict":
            raise self._conflict(answer.conflicts[0], [new for new, _ in pairs])
        return [replace(new, version=version) for (new, _), version in zip(pairs, answer.versions, strict=True)]

    def _conflict(self, conflict: tuple[str, int], wanted: Iterable[Definition]) -> DefinitionConflict:
        name, found = conflict
        mine = next(one for one in wanted if one.id == name)
        theirs = recipes.read(self._jobs.store, [name])[0]
        by = theirs.status.updated_by if theirs and theirs.status else "somebody"
        return DefinitionConflict(
            definition_id=name, expected=mine.version, found=found, by=by, mine=mine, theirs=theirs
        )


def _fits(one: Definition, name: str, task: str, owner: str) -> bool:
    named = not name or name.lower() in one.name.lower() or name.lower() in one.id.lower()
    return named and (not task or one.task == task) and (not owner or one.owner == owner)


def _with_status(one: Definition, **changed: Any) -> Definition:
    return replace(one, status=one.status and replace(one.status, **changed))


def _level(new: Definition, old: Definition | None) -> dict[str, str]:
    """Who sets another log level ends one that was set for a while."""
    return {"log_until": ""} if old and old.log_level != new.log_level else {}


def changed(new: Definition, old: Definition | None, at: datetime) -> Change:
    """What is written besides the fields: when the next slot and the backup come."""
    same = old and old.schedules == new.schedules and old.is_scheduled == new.is_scheduled
    slot: int | str | None = "keep"
    fire: int | str | None = "keep"
    if not same:
        found = None
        if new.is_scheduled:
            found = (at, at) if new.is_asked else next_slot(new.id, new.schedules, at)
        slot, fire = (ms(found[0]), ms(found[1])) if found else (None, None)
    backup: int | str | None = round(new.backup_every * 1000) if new.backup_every and new.is_scheduled else None
    if old and old.backup_every == new.backup_every and old.is_scheduled == new.is_scheduled:
        backup = "keep"
    return Change(new, slot, fire, backup)

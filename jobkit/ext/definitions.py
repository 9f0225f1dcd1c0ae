"""`jobs.definitions`: what application code does with definitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from jobkit.definitions import CONFIGURED, Answer, Definition, Queued
from jobkit.errors import DefinitionConflict, DefinitionUnknown, InvalidOption, nearest
from jobkit.ext import sending
from jobkit.ext.ids import uuid7
from jobkit.model import Execution
from jobkit.schedules import next_slot, schedule
from jobkit.services.archive import Archive
from jobkit.states import Outcome
from jobkit.store import Verdict, definitions, history
from jobkit.store.definitions import Change, ms
from jobkit.store.jobs import operation

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

#: Days a definition made by `queue_one_time` is kept [TFS].
ONE_TIME_DAYS = 7.0
#: How often a change that reads, changes and writes by itself is tried when others are faster.
TRIES = 20


class Definitions:
    """The definitions of an app: stored, named recipes that are queued by id, many times.

    Every method has a twin for asyncio: ``await jobs.definitions.aget(id)`` is ``get``, and so on.
    """

    def __init__(self, jobs: JobKit) -> None:
        self._jobs = jobs

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]: ...

    # -- reading -----------------------------------------------------------------------------------------------

    def get(self, definition_id: str) -> Definition:
        """One definition and how it stands.  Raises: `DefinitionUnknown`."""
        return definitions.get(self._jobs.store, str(definition_id))

    def query(self, name: str = "", task: str = "", owner: str = "", limit: int | None = None) -> Iterator[Definition]:
        """Definitions by id: whose name or id has `name` in it, of a task, of an owner; `limit` at most."""
        last, left = "", limit
        while left is None or left > 0:
            ids = definitions.ids(self._jobs.store, last, 200)
            for one in definitions.read(self._jobs.store, ids):
                if one and _fits(one, name, task, owner) and (left is None or left > 0):
                    left = None if left is None else left - 1
                    yield one
            if len(ids) < 200:
                return
            last = ids[-1]

    def history(
        self,
        definition_id: str = "",
        result: Outcome | str | None = None,
        since: datetime | None = None,
        limit: int = 50,
    ) -> list[Execution]:
        """Executions, newest first, also of definitions that are there no more: from Redis, and from the archive.

        Parameters: of one definition, with one outcome, ended at `since` or later; `limit` at most.
        """
        wanted = None if result is None else _outcome(result)
        found = (one for one in history.read(self._jobs.store, definition_id, since) if wanted in (None, one.outcome))
        newest = list(islice(found, limit))
        if self.archive:
            newest += self.archive.read(definition_id, wanted, since, limit)
        by_place = {tuple(map(int, one.place.split("-"))): one for one in newest}
        return [by_place[place] for place in sorted(by_place, reverse=True)][:limit]

    def latest(self, definition_id: str, result: Outcome | str | None = None) -> Execution | None:
        """The last execution of a definition, with that outcome; None if there is none."""
        return next(iter(self.history(definition_id, result, limit=1)), None)

    @cached_property
    def archive(self) -> Archive | None:
        """Where executions are kept for good, if `jobkit_archive_backend` says so."""
        url = self._jobs.settings.archive_backend
        return Archive(url, self._jobs.settings.namespace) if url else None

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
        stored = definitions.read(self._jobs.store, [one.id for one in changed])
        # Whether it is paused is no matter of who edits it.
        return self._write(
            [(replace(new, status=old.status if old else None), old) for new, old in zip(changed, stored, strict=True)]
        )

    def delete(self, *ids: str) -> list[str]:
        """Delete definitions; what they queued still runs.  Returns the ids of those that were there."""
        return definitions.undefine(self._jobs.store, *((str(name), None) for name in ids))

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
        return definitions.now(self._jobs.store)

    def _write(
        self, pairs: list[tuple[Definition, Definition | None]], more: dict[str, str] | None = None, declared: str = "",
        expires: float | None = None,
    ) -> list[Definition]:  # fmt: skip
        at, op = self._now(), operation()
        changes = [replace(_change(new, old, at), declared=declared, more=more) for new, old in pairs]
        answer = definitions.define(self._jobs.store, changes, self._jobs._by, op, expires)
        if answer.code == "conflict":
            raise self._conflict(answer.conflicts[0], [new for new, _ in pairs])
        return [replace(new, version=version) for (new, _), version in zip(pairs, answer.versions, strict=True)]

    def _conflict(self, conflict: tuple[str, int], wanted: Iterable[Definition]) -> DefinitionConflict:
        name, found = conflict
        mine = next(one for one in wanted if one.id == name)
        theirs = definitions.read(self._jobs.store, [name])[0]
        by = theirs.status.updated_by if theirs and theirs.status else "somebody"
        return DefinitionConflict(
            definition_id=name, expected=mine.version, found=found, by=by, mine=mine, theirs=theirs
        )

    # -- queueing ----------------------------------------------------------------------------------------------

    def queue_now(self, *ids: str, high: bool = False, reason: str = "") -> list[Answer]:
        """Have definitions run now [TFS].

        One that is queued is left as it is, one that runs is run once more right after: a hundred calls make one or two
        runs, the last of them begun after the last call.  Parameters: `high` gives a run that this call queues the
        broker's highest priority.  Raises: `DefinitionUnknown`; one that is FULLY_DISABLED is REFUSED in its answer.
        """
        return [self._queue(str(name), 0.0, reason, high=high) for name in ids]

    def queue_within(self, definition_id: str, seconds: float, reason: str = "") -> Answer:
        """Have a definition run within so many seconds [TFS]: it never delays a run, and batches a burst of calls."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
            raise InvalidOption(option="queue_within", value=seconds, allowed="must be seconds, 0 or more")
        return self._queue(str(definition_id), seconds, reason)

    def queue_one_time(self, *, task: Any, keep_days: float = ONE_TIME_DAYS, reason: str = "", **fields: Any) -> Answer:
        """Define and queue in one call [TFS]; the definition goes after `keep_days`, its history stays."""
        given = str(fields.pop("id", ""))
        made = self._made(given or uuid7(), task, fields.pop("schedule", None), fields)
        if given and definitions.read(self._jobs.store, [given])[0]:
            raise self._conflict((given, 1), [made])
        # The job first: if this process dies before the definition is stored, it runs with the data it was given.
        answer = self._queue(made.id, 0.0, reason, one=made)
        self._write([(made, None)], expires=keep_days * 86_400)
        return answer

    def backfill(self, definition_id: str, start: datetime, end: datetime) -> list[str]:
        """Run it for each of its slots from `start` to before `end`, one after the other (beside each other where runs
        may overlap); a slot that was filled so before, and is remembered, is not filled again.

        Returns: the ids of the jobs.
        """
        one, jobs = self.get(definition_id), []
        after = ""
        slots = sorted({slot for made in one.schedules for slot in made.between(start, end)})
        for slot in slots:
            job = f"{one.job_id}~{ms(slot)}"
            record = partial(self._fill, one, job, ms(slot), after)
            sending.send(self._jobs, one, job, record)
            jobs.append(job)
            after = "" if one.overlap.value == "ALLOW" else job
        return jobs

    def _fill(self, one: Definition, job: str, slot: int, after: str, plan: Any) -> Verdict:
        source = {**plan.facts, "source": f"backfill by {self._jobs._by}"}
        filled = replace(plan, after=after, facts=source)
        verdict = self._jobs.store.create(filled, self._jobs._by, "backfill", f"fill{slot}")
        ready = verdict.code == "ok" and verdict.state == "QUEUED"
        return verdict._replace(publish=((job, verdict.run, plan.message),) if ready else ())

    def _queue(
        self, name: str, within: float, reason: str, *, high: bool = False, one: Definition | None = None
    ) -> Answer:
        op, by, store = operation(), self._jobs._by, self._jobs.store
        always = one is not None
        ask = partial(
            definitions.queue, store, name, f"@{name}", by=by, reason=reason, op=op, within=within, always=always
        )
        verdict, why = ask(None)
        if verdict.code == "wanted":
            one = one or self.get(name)
            answers: list[tuple[Verdict, str]] = []

            def record(plan: Any) -> Verdict:
                answers.append(ask(plan))
                return answers[-1][0]

            sending.send(self._jobs, one, one.job_id, record, sending.high(self._jobs) if high else None)
            verdict, why = answers[0] if answers else (verdict._replace(code="queued"), "")
        else:
            self._jobs.publish(verdict)
        if verdict.code == "missing":
            raise DefinitionUnknown(definition_id=name, namespace=store.keys.namespace)
        return Answer(Queued("joined" if verdict.code == "again" else verdict.code), f"@{name}", why)


def _outcome(result: Outcome | str) -> Outcome:
    name = str(getattr(result, "value", result)).upper()
    if name not in Outcome.__members__:
        hint = nearest(name, Outcome.__members__)
        raise InvalidOption(option="result", value=result, allowed=f"there is no such outcome, {hint}")
    return Outcome[name]


def _twin(name: str) -> Callable[..., Any]:
    async def twin(self: Definitions, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(getattr(self, name), *args, **options)

    twin.__name__, twin.__doc__ = f"a{name}", f"See `{name}`."
    return twin


def _fits(one: Definition, name: str, task: str, owner: str) -> bool:
    named = not name or name.lower() in one.name.lower() or name.lower() in one.id.lower()
    return named and (not task or one.task == task) and (not owner or one.owner == owner)


def _with_status(one: Definition, **changed: Any) -> Definition:
    return replace(one, status=one.status and replace(one.status, **changed))


def _change(new: Definition, old: Definition | None, at: datetime) -> Change:
    """What is written besides the fields: when the next slot and the backup come."""
    same = old and old.schedules == new.schedules and old.is_scheduled == new.is_scheduled
    slot: int | str | None = "keep"
    fire: int | str | None = "keep"
    if not same:
        found = next_slot(new.id, new.schedules, at) if new.is_scheduled else None
        slot, fire = (ms(found[0]), ms(found[1])) if found else (None, None)
    backup: int | str | None = round(new.backup_every * 1000) if new.backup_every and new.is_scheduled else None
    if old and old.backup_every == new.backup_every and old.is_scheduled == new.is_scheduled:
        backup = "keep"
    return Change(new, slot, fire, backup)


for _name in (
    *("get", "create", "update", "delete", "change", "pause", "resume", "set_log_level"),
    *("queue_now", "queue_within", "queue_one_time", "backfill", "history", "latest"),
):
    setattr(Definitions, f"a{_name}", _twin(_name))


async def _aquery(self: Definitions, **filters: Any) -> list[Definition]:
    """See `query`: all of them."""
    return await asyncio.to_thread(lambda: list(self.query(**filters)))


setattr(Definitions, "aquery", _aquery)  # noqa: B010  the twins are no methods to a type checker

"""`jobs.definitions`: what application code does with definitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from jobkit.definitions import Answer, Definition, Queued
from jobkit.errors import DefinitionUnknown, InvalidOption, nearest
from jobkit.ext import sending
from jobkit.ext.ids import uuid7
from jobkit.ext.stored import Stored, changed
from jobkit.model import Execution
from jobkit.services.archive import Archive
from jobkit.states import Outcome
from jobkit.store import Verdict, definitions, history
from jobkit.store.recipes import ms
from jobkit.store.values import operation

if TYPE_CHECKING:
    pass

#: Days a definition made by `queue_one_time` is kept [TFS].
ONE_TIME_DAYS = 7.0
#: How often a change that reads, changes and writes by itself is tried when others are faster.
TRIES = 20


class Definitions(Stored):
    """The definitions of an app: stored, named recipes that are queued by id, many times.

    Every method has a twin for asyncio: ``await jobs.definitions.aget(id)`` is ``get``, and so on.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]: ...

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
        op, by, change = operation(), self._jobs._by, changed(made, None, self._now())
        answers: list[tuple[Verdict, str]] = []

        def record(plan: Any) -> Verdict:
            keep = keep_days * 86_400
            answers.append(definitions.once(self._jobs.store, change, plan, by, reason, op, keep))
            return answers[-1][0]

        sending.send(self._jobs, made, made.job_id, record)
        if not answers:  # of an app whose tasks are eager it has run by now
            self._write([(made, None)], expires=keep_days * 86_400)
            return Answer(Queued.QUEUED, made.job_id)
        verdict, why = answers[0]
        if verdict.code == "conflict":
            raise self._conflict((made.id, verdict.run), [made])
        return self._answer(verdict, made.job_id, why)

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

    def _queue(self, name: str, within: float, reason: str, *, high: bool = False) -> Answer:
        op, by, store = operation(), self._jobs._by, self._jobs.store
        ask = partial(definitions.queue, store, name, f"@{name}", by=by, reason=reason, op=op, within=within)
        verdict, why = ask(None)
        if verdict.code == "wanted":
            one = self.get(name)
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
        return self._answer(verdict, f"@{name}", why)

    def _answer(self, verdict: Verdict, job: str, why: str) -> Answer:
        return Answer(Queued("joined" if verdict.code == "again" else verdict.code), job, why)


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


for _name in (
    *("get", "create", "update", "delete", "change", "pause", "resume", "set_log_level"),
    *("queue_now", "queue_within", "queue_one_time", "backfill", "history", "latest"),
):
    setattr(Definitions, f"a{_name}", _twin(_name))


async def _aquery(self: Definitions, **filters: Any) -> list[Definition]:
    """See `query`: all of them."""
    return await asyncio.to_thread(lambda: list(self.query(**filters)))


setattr(Definitions, "aquery", _aquery)  # noqa: B010  the twins are no methods to a type checker

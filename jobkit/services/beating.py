"""Fire what is due: slots of definitions, and backups.

Any number do so at once, without a leader: a slot is taken by the script that also records its run, so whoever is
second is told that it is gone, also when it slept for a minute in between.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import islice

from jobkit.definitions import Definition, Misfire, Overlap
from jobkit.errors import BadRecord, StoreError
from jobkit.schedules import next_slot
from jobkit.store import JobStore, Plan, Verdict, definitions
from jobkit.store.definitions import Due, Step
from jobkit.store.recipes import ms

log = logging.getLogger("jobkit")

#: Definitions one round looks at, and missed slots it counts at most.
BATCH, COUNTED = 100, 1000

#: Seconds until what cannot be asked is asked again.
AGAIN = 5.0

#: Have a run's message made, and what is recorded with it published.
Send = Callable[[Definition, str, Callable[[Plan], Verdict]], "Verdict | None"]
#: Ask a schedule of the application's own: is it due, and how many seconds until it is to be asked again?
Ask = Callable[[Definition, datetime, datetime], "tuple[bool, float]"]


def _ask_nobody(one: Definition, since: datetime, at: datetime) -> tuple[bool, float]:
    return False, AGAIN


class Beat:
    """One of any number.

    Parameters: `send`, which makes the message of a run, hands its plan over, and publishes what comes back; `by`, who
    the history says it was; `knows`, whether this process can make the runs of a definition: others are left to others;
    `ask`, which asks a schedule of the application's own: what it is of, since when nothing has fired, what time it is.
    """

    def __init__(
        self,
        store: JobStore,
        send: Send,
        by: str,
        knows: Callable[[Definition], bool] = lambda one: True,
        ask: Ask = _ask_nobody,
    ) -> None:
        self._store, self._send, self._by, self._knows, self._ask = store, send, by, knows, ask
        self._unreadable: set[str] = set()

    def run_once(self) -> float | None:
        """One round: fires what is due.

        Returns: seconds until the next is due; 0 if there may be more now, None if there is nothing to come.
        """
        at, wait, found = definitions.due(self._store, BATCH, self._complain)
        found = [due for due in found if self._knows(due.definition)]
        random.shuffle(found)  # two that come at once begin with different ones
        for due in found:
            try:
                self._fire(due, at)
            except StoreError:
                raise
            except Exception:  # the others must not wait behind what cannot be made
                log.exception("beat: %s cannot be run: its slot is passed over", due.definition.id)
                self._pass_over(due, at)
        return 0.0 if found else wait

    def _complain(self, exc: BadRecord) -> None:
        if exc.job_id not in self._unreadable:
            log.error("beat: a definition is left to others: %s", exc)
            self._unreadable.add(exc.job_id)

    def _fire(self, due: Due, at: datetime) -> None:
        one = due.definition
        if due.kind == "backup":
            self._insure(due)
        elif due.slot is not None:
            self._take(one, self._asked(due, at) if one.is_asked else decided(one, due.slot, due.at, at))

    def _asked(self, due: Due, at: datetime) -> Step:
        fires, seconds = self._ask(due.definition, _moment(due.since), at)
        after = ms(at) + max(1, round(1000 * seconds))
        return Step(due.slot or 0, after, after, "fire" if fires else "pass", due.definition.overlap.value.lower())

    def _take(self, one: Definition, step: Step) -> None:
        job = f"{one.job_id}~{step.slot}" if one.overlap is Overlap.ALLOW else one.job_id
        if step.act != "fire":
            self._say(one, step, definitions.tick(self._store, one, job, step, None, self._by))
            return
        self._say(one, step, self._send(one, job, lambda plan: definitions.tick(
            self._store, one, job, step, plan, self._by)))  # fmt: skip

    def _say(self, one: Definition, step: Step, verdict: Verdict | None) -> None:
        code = verdict.code if verdict else ""
        if code in ("stale", "again", "busy"):
            return
        if step.missed:
            log.warning("beat: %d slots of %s were missed (%s)", step.missed, one.id, one.misfire.value)
        log.info("beat: slot %s of %s: %s", datetime.fromtimestamp(step.slot / 1000, timezone.utc), one.id, code)

    def _insure(self, due: Due) -> None:
        one = due.definition
        verdict = self._send(one, one.job_id, lambda plan: definitions.insure(self._store, one, due.at, plan, self._by))
        if verdict and verdict.code == "queued":
            log.warning("beat: nothing ran %s for %g s: a trigger was lost, its backup runs", one.id, one.backup_every)

    def _pass_over(self, due: Due, at: datetime) -> None:
        if due.kind == "slot" and due.slot is not None:
            after = max(at, _moment(due.slot))
            again = ms(after) + round(1000 * AGAIN)
            following = (again, again) if due.definition.is_asked else _next(due.definition, after)
            step = Step(due.slot, *following, act="pass", missed=1)
            definitions.tick(self._store, due.definition, due.definition.job_id, step, None, self._by)


def decided(one: Definition, slot: int, fire: int, at: datetime) -> Step:
    """What is done with a due slot: ms it stands for, ms it was to fire, and what time it is."""
    late = at - _moment(fire)
    overlap = one.overlap.value.lower()
    if late.total_seconds() <= one.grace:
        return Step(slot, *_next(one, _moment(slot)), act="fire", overlap=overlap)
    oldest = at - timedelta(seconds=one.catch_up)
    if one.misfire is Misfire.ALL and _moment(slot) >= oldest:
        return Step(slot, *_next(one, _moment(slot)), act="fire", overlap="wait")
    # The first that is still in time, or, where all are run, not too old to be.
    resume = oldest if one.misfire is Misfire.ALL else at - timedelta(seconds=one.grace)
    resume = max(resume, _moment(slot)) - timedelta(milliseconds=1)
    fires = one.misfire is Misfire.ONCE and _moment(slot + _span(one, slot, resume)) >= oldest
    missed = _between(one, slot, resume) + (0 if fires else 1)
    following = _next(one, max(resume, _moment(slot)))
    return Step(slot, *following, act="fire" if fires else "pass", overlap=overlap, missed=missed)


def _span(one: Definition, slot: int, resume: datetime) -> int:
    """How many ms after this slot the last one missed was."""
    last = max((found for schedule in one.schedules if (found := schedule.before(resume))), default=_moment(slot))
    return max(0, ms(last) - slot)


def _between(one: Definition, slot: int, resume: datetime) -> int:
    """How many slots were missed after this one, counted up to a thousand of each schedule."""
    after = _moment(slot)
    found = {moment for made in one.schedules for moment in islice(made.between(after, resume), COUNTED)}
    return len(found - {after})


def _next(one: Definition, after: datetime) -> tuple[int | None, int | None]:
    found = next_slot(one.id, one.schedules, after)
    return (None, None) if found is None else (ms(found[0]), ms(found[1]))


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)

"""The judge: compares what really happened (the evidence) with what the records say (RELIABILITY 2).

Each rule is a function that yields what it finds wrong; a clean case has no findings.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from jobkit.model import Run, Transition
from jobkit.states import Category, State
from jobkit.store import records
from tests.chaos.evidence import (
    ACCEPTED,
    CUT_OFF,
    END,
    FROZEN,
    GONE,
    HOOK,
    INDETERMINATE,
    REFUSED,
    SAVED,
    START,
    THAWED,
    UNANSWERED,
    Line,
)
from tests.store.checks import BIRTHS, EDGES

#: Seconds a body may go on after its process was frozen and lost its run.
AFTER_A_FREEZE = 1.0
#: Seconds two lines of two processes may be written in the wrong order.
BLUR = 0.02
#: The restarts that count against the budget of their cause.
COUNTED = (State.ABORTED_RESTART, State.TIMEOUT_RETRY, State.ERROR_RETRY)


@dataclass(frozen=True)
class Finding:
    """Something that must not be."""

    rule: str
    job: str
    text: str


@dataclass(frozen=True)
class Record:
    """What the store says of a job.

    Its whole path; its `result`, which is the run that made it; the `restarts` of one cause it may have.
    """

    job: str
    path: tuple[Transition, ...]
    result: Any = None
    restarts: int = 1_000_000

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The path, cut into runs."""
        return records.runs(self.path)

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.path[-1].target


@dataclass(frozen=True)
class Body:
    """One execution of a body: until it was left, or its worker was gone (`how` is then "")."""

    job: str
    run: int
    worker: str
    began: float
    ended: float
    how: str


@dataclass
class Case:
    """All that is judged: the evidence, the records by job, and the indexes that should be empty, with their sizes."""

    lines: Sequence[Line]
    records: Mapping[str, Record]
    leftovers: Mapping[str, int] = field(default_factory=dict)
    #: What to add to CLOCK_MONOTONIC for the time of Redis, which is on the same machine.
    offset: float = field(default_factory=lambda: time.time() - time.monotonic())

    def of(self, *what: str) -> list[Line]:
        """The lines of these kinds."""
        return [line for line in self.lines if line.what in what]

    @cached_property
    def bodies(self) -> dict[str, list[Body]]:
        """Every execution of every job, in order."""
        gone = defaultdict(list)
        for line in self.of(GONE):
            gone[line.worker].append(line)
        ends: dict[tuple[str, int, int], list[Line]] = defaultdict(list)
        for line in self.of(END):
            ends[line.job, line.run, line.pid].append(line)
        found: dict[str, list[Body]] = defaultdict(list)
        for line in self.of(START):
            left = next((end for end in ends[line.job, line.run, line.pid] if end.at >= line.at), None)
            took = (it for it in gone[line.worker] if it.at >= line.at and it.more.get("child", line.pid) == line.pid)
            dead = next((it.at for it in took), float("inf"))
            until, how = (left.at, left.more.get("how", "")) if left else (dead, "")
            found[line.job].append(Body(line.job, line.run, line.worker, line.at, until, how))
        return {job: sorted(bodies, key=lambda body: body.began) for job, bodies in found.items()}

    @cached_property
    def freezes(self) -> dict[str, list[tuple[float, float]]]:
        """When each worker was frozen: from, to."""
        found: dict[str, list[tuple[float, float]]] = defaultdict(list)
        since: dict[str, float] = {}
        for line in self.of(FROZEN, THAWED, GONE):
            if line.what == FROZEN:
                since[line.worker] = line.at
            elif line.worker in since and "child" not in line.more:
                found[line.worker].append((since.pop(line.worker), line.at))
        for worker, at in since.items():
            found[worker].append((at, float("inf")))
        return found

    @cached_property
    def waits(self) -> dict[tuple[str, int], list[tuple[float, float]]]:
        """When each run did nothing but wait for an answer of Redis: from, to."""
        found: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
        for line in self.of(SAVED, REFUSED, UNANSWERED):
            found[line.job, line.run].append((line.more["since"], line.at))
        return found

    def awake(self, body: Body, began: float, ended: float) -> float:
        """For how many of these seconds the body did something: was neither frozen nor waiting for an answer."""
        idle = [*self.freezes.get(body.worker, []), *self.waits.get((body.job, body.run), [])]
        busy = 0.0
        for start, end in sorted((max(began, start), min(ended, end)) for start, end in idle):
            if end > max(began, start):
                busy += max(0.0, start - began)
                began = end
        return busy + max(0.0, ended - began)


def judge(case: Case) -> list[Finding]:
    """Every rule over the whole case."""
    return [Finding(rule.__name__, job, text) for rule in RULES for job, text in rule(case)]


Findings = Iterator[tuple[str, str]]


def nothing_is_lost(case: Case) -> Findings:
    """I5: every job that was accepted has a record."""
    for line in case.of(ACCEPTED):
        if line.job not in case.records:
            yield line.job, "accepted, but there is no record of it"


def nothing_is_unexpected(case: Case) -> Findings:
    """I23: nothing runs that was not submitted."""
    submitted = {line.job for line in case.of(ACCEPTED, INDETERMINATE)}
    for job in {line.job for line in case.of(START, HOOK)} - submitted:
        yield job, "it ran, but nobody submitted it"


def every_job_ends(case: Case) -> Findings:
    """I19: no run is left hanging."""
    for record in case.records.values():
        if record.state.is_live or record.state.category is Category.RESTARTED:
            yield record.job, f"left in {record.state}"


def every_path_is_legal(case: Case) -> Findings:
    """I1, I9: an edge of the graph at every step, no gap, somebody's name, time that does not run backwards."""
    for record in case.records.values():
        if record.path[0].seq == 1 and record.path[0].target not in BIRTHS:
            yield record.job, f"born as {record.path[0].target}"
        for last, step in pairwise(record.path):
            edge = (last.target, step.target) in EDGES if step.run == last.run else step.target in BIRTHS
            if not edge:
                yield record.job, f"no edge from {last.target} (run {last.run}) to {step.target} (run {step.run})"
            if (step.seq, step.run - last.run) not in ((last.seq + 1, 0), (last.seq + 1, 1)):
                yield record.job, f"a gap between step {last.seq} (run {last.run}) and {step.seq} (run {step.run})"
            if step.at < last.at or not step.by:
                yield record.job, f"step {step.seq} at {step.at} by {step.by!r}, the one before at {last.at}"


def every_run_ends_once(case: Case) -> Findings:
    """I2: one end for each run, and nothing after the end of a job."""
    for record in case.records.values():
        for run in record.runs:
            ends = [step.target for step in run.path if step.target.category is Category.ENDED]
            if len(ends) > 1:
                yield record.job, f"run {run.number} ended as {', '.join(ends)}"
        for run in record.runs[:-1]:
            if run.state.category is not Category.RESTARTED and run.state is not State.REPLACED:
                yield record.job, f"run {run.number} was {run.state}, and there was another after it"


def every_run_starts_once(case: Case) -> Findings:
    """I3: one body for each claim, of the worker that claimed it."""
    for job, bodies in case.bodies.items():
        for run, number in Counter(body.run for body in bodies).items():
            if number > 1:
                yield job, f"the body of run {run} was started {number} times"
        claims = {step.run: step.by for step in _path(case, job) if step.target is State.RUNNING}
        for body in bodies:
            if job in case.records and claims.get(body.run) != body.worker:
                yield job, f"run {body.run} was executed by {body.worker}, the record says {claims.get(body.run)}"


def hooks_are_called_once(case: Case) -> Findings:
    """I6: once for each run that ended, with that end, after it was recorded; never for one that was replaced."""
    calls: dict[tuple[str, int], list[Line]] = defaultdict(list)
    for line in case.of(HOOK):
        calls[line.job, line.run].append(line)
    for record in case.records.values():
        for run in record.runs:
            told = calls.pop((record.job, run.number), [])
            if told or not was_cut_off(case, record, run):
                yield from ((record.job, text) for text in _hook(run, told, case.offset))
    for job, run_number in calls:
        if job in case.records:
            yield job, f"on_finished was called for a run {run_number} there never was"


def was_cut_off(case: Case, record: Record, run: Run) -> bool:
    """Has the one who had claimed the telling died before the call?  Nobody else calls it then (LIFECYCLE 3)."""
    return any((line.job, line.run) == (record.job, run.number) for line in case.of(CUT_OFF))


def _hook(run: Run, told: Sequence[Line], offset: float) -> Iterator[str]:
    expected = 0 if run.state.is_live or run.state is State.REPLACED else 1
    if len(told) != expected:
        yield f"run {run.number} ended as {run.state}: on_finished was called {len(told)} times"
    for line in told:
        if line.more.get("state") != run.state:
            yield f"run {run.number} ended as {run.state}, its hook heard {line.more.get('state')}"
        if line.at + offset < run.path[-1].at.timestamp() - BLUR:
            yield f"the hook of run {run.number} was called before its end was recorded"


def bodies_do_not_overlap(case: Case) -> Findings:
    """I4: one body at a time, but for at most a second after a freeze."""
    for job in case.bodies:
        for run, seconds, frozen in overlaps(case, job):
            if seconds > (AFTER_A_FREEZE if frozen else BLUR):
                yield job, f"run {run} went on for {seconds:.3f} s beside the next one{' after a freeze' * frozen}"


def overlaps(case: Case, job: str) -> Iterator[tuple[int, float, bool]]:
    """Of each run that met the next one: its number, how long both were awake, whether it had just been frozen."""
    for body, following in pairwise(case.bodies[job]):
        began, ended = following.began, min(body.ended, following.ended)
        if ended <= began:
            continue
        frozen = any(
            start <= ended and end >= body.began - AFTER_A_FREEZE for start, end in case.freezes.get(body.worker, [])
        )
        yield body.run, case.awake(body, began, ended), frozen


def no_write_of_an_old_run_is_accepted(case: Case) -> Findings:
    """I3: nothing is accepted of a run once the next one has begun."""
    for line in case.of(SAVED):
        later = [body for body in case.bodies.get(line.job, []) if body.run > line.run]
        if any(body.began < line.more["since"] for body in later):
            yield line.job, f"a checkpoint of run {line.run} was accepted after run {later[0].run} had begun"
    for record in case.records.values():
        if isinstance(record.result, int) and record.result != record.runs[-1].number:
            yield record.job, f"its last run is {record.runs[-1].number}, its result that of run {record.result}"


def budgets_are_kept(case: Case) -> Findings:
    """I10: no more restarts of one cause than the policy has."""
    for record in case.records.values():
        for state, number in Counter(run.state for run in record.runs).items():
            if state in COUNTED and number > record.restarts:
                yield record.job, f"{number} times {state}, {record.restarts} are allowed"


def nothing_is_left_over(case: Case) -> Findings:
    """I17, I18: no lease, no held run, no owed message, no deadline of what is over."""
    for key, size in case.leftovers.items():
        if size:
            yield "", f"{key} holds {size}"


def _path(case: Case, job: str) -> tuple[Transition, ...]:
    return case.records[job].path if job in case.records else ()


RULES = (
    nothing_is_lost,
    nothing_is_unexpected,
    every_job_ends,
    every_path_is_legal,
    every_run_ends_once,
    every_run_starts_once,
    hooks_are_called_once,
    bodies_do_not_overlap,
    no_write_of_an_old_run_is_accepted,
    budgets_are_kept,
    nothing_is_left_over,
)

"""The values application code reads: frozen, complete, and without any connection of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from jobkit.errors import BadRecord
from jobkit.locks import Lock
from jobkit.states import ABOUT, FiveState, OracleState, Outcome, State, WmiState


@dataclass(frozen=True, slots=True)
class Transition:
    """One recorded step of one run: from, to, when, by whom, why (LIFECYCLE 2, rule 2).

    `source` is None for the birth of a run; `at` is Redis time, in UTC; `seq` counts the transitions of the
    job from 1 without a gap.
    """

    seq: int
    run: int
    source: State | None
    target: State
    at: datetime
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One instance of a job's execution: its number and its whole path [WI Oid]."""

    number: int
    path: tuple[Transition, ...]

    @property
    def state(self) -> State:
        """Where the run stands, or how it ended."""
        return self.path[-1].target


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running job has come: `done` of `total` (None: unknown), and a line for people."""

    done: float
    total: float | None = None
    message: str = ""

    @property
    def fraction(self) -> float | None:
        """Between 0 and 1, or None where the total is not known."""
        return min(1.0, self.done / self.total) if self.total else None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line a task body logged: when, its level (a `logging` level name), the text, and in which run."""

    at: datetime
    level: str
    message: str
    run: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed, as text only: nothing of it is ever rebuilt into objects."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: what `on_finished` is told."""

    state: State
    run: int
    outcome: Outcome
    message: str = ""
    failure: Failure | None = None
    failed_child: str = ""
    failed_compensations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """What the store knew of one job at the moment it was asked.

    Times are aware datetimes in UTC, or None where the thing has not happened. `args` and `kwargs` are the
    printable forms Celery puts into messages, `result` the decoded result of a job that ended well, `source`
    what asked for a definition's job, `extra` the fields a newer jobkit wrote.
    """

    id: str
    task: str
    state: State
    run: int
    submitted_at: datetime
    state_since: datetime
    owner: str = ""
    tags: tuple[str, ...] = ()
    queue: str = ""
    args: str = ""
    kwargs: str = ""
    start_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    worker: str = ""
    pid: int | None = None
    retries: int = 0
    root_id: str = ""
    parent_id: str = ""
    after_id: str = ""
    locks: tuple[Lock, ...] = ()
    host: str = ""
    blocked_by: str = ""
    failed_child: str = ""
    failed_compensations: tuple[str, ...] = ()
    outcome: Outcome | None = None
    message: str = ""
    failure: Failure | None = None
    result: Any = None
    progress: Progress | None = None
    celery_status: str = ""
    has_checkpoint: bool = False
    source: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def oracle_state(self) -> OracleState:
        """One of Oracle VM's six states [OVM]."""
        return ABOUT[self.state].oracle

    @property
    def five_state(self) -> FiveState:
        """One of the TFS job agent's five states [TFS]."""
        return ABOUT[self.state].tfs

    @property
    def wmi_state(self) -> WmiState:
        """The CIM_ConcreteJob number of the state [HV]."""
        return ABOUT[self.state].wmi

    @property
    def is_live(self) -> bool:
        """True while the job may still run or run again."""
        return self.state.is_live

    def to_json(self) -> dict[str, Any]:
        """Plain types only, times as ISO 8601 in UTC: what `--json` prints."""
        return {name: to_plain(getattr(self, name)) for name in self.__slots__}


def to_plain(value: Any) -> Any:
    """A value as JSON has it: times as ISO 8601 in UTC, lists for tuples, the names of states."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return to_json(value)
    return value.value if isinstance(value, Enum) else value


def to_json(value: Any) -> dict[str, Any]:
    """Any value of this module as plain types, times as ISO 8601 in UTC."""
    return {name: to_plain(getattr(value, name)) for name in value.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class LockState:
    """Who has a lock, and who waits for it.

    `holders` are ids with their fences, numbers that only grow; `waiters` ids in the order of their turn.
    """

    name: str
    holders: dict[str, int]
    waiters: tuple[str, ...] = ()
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a definition that is over: kept for 31 days, also when its job and its definition are long gone.

    `source` is what asked for it, `agent` the worker that ran it; `place` orders executions, and is theirs alone.
    """

    place: str
    definition: str
    job_id: str
    run: int
    task: str
    source: str
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime
    state: State
    outcome: Outcome | None
    message: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """What is held back: the jobs of one host, task, queue, owner or definition.

    `state` is ``offline`` or ``dormant`` for a host, else ``blocked``; `until` is when it lifts itself; `waiting`,
    how many jobs stand behind it.
    """

    kind: str
    name: str
    state: str
    reason: str
    by: str
    since: datetime | None
    until: datetime | None
    waiting: int


@dataclass(frozen=True, slots=True)
class Tree:
    """A job and all it has started, in that order; `kind` says what it is of the one above.

    ``child``, ``continuation``, ``compensation``, or ``canvas`` for what its body sent by Celery's own means.
    """

    job: Job
    kind: str = ""
    children: tuple[Tree, ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Tree]]:
        """The whole tree, parents first, with how deep each lies."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job ended as it did: its failure, the last lines it logged, and the reasons of what it failed by.

    `child` is the child that failed it, `compensations` are those that could not undo what it did.
    """

    job_id: str
    task: str
    state: State
    message: str = ""
    failure: Failure | None = None
    log: tuple[LogLine, ...] = ()
    child: Reason | None = None
    compensations: tuple[Reason, ...] = ()

    def lines(self, depth: int = 0) -> Iterator[str]:
        """The whole of it as text, without tracebacks: one line each."""
        said = f"{self.failure.type}: {self.failure.message}" if self.failure else self.message
        yield "  " * depth + f"{self.task}[{self.job_id}] {self.state}: {said}".rstrip(": ")
        for below in (*((self.child,) if self.child else ()), *self.compensations):
            yield from below.lines(depth + 1)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query, newest first; `cursor` continues it, None when it is complete.

    `unreadable` names the records that cannot be read, each with its job and field.
    """

    jobs: tuple[Job, ...]
    cursor: str | None = None
    unreadable: tuple[BadRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing `doctor` looked at: `level` is ok, warning or error; `what`, `found`, and what to `do` about it."""

    level: str
    what: str
    found: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one kind of key takes: what it is `about`, how many `keys`, `entries` in them, and `bytes`."""

    about: str
    kind: str
    keys: int
    entries: int
    bytes: int

"""The state graph: every state, every named edge, and the views other systems have of a state.

This table is the only place where the graph is written down.  The store hands its rows to Lua, the
documents are printed from it (``jobkit/drawing.py``), and the tests walk it edge by edge.
Sources: [WI] work items, [TFS] TFS job agent, [OVM] Oracle VM, [HV] Hyper-V, [new] none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cache


class Category(str, Enum):
    """What a group of states has in common, and who may move a run that stands in one of them."""

    WAITING_TO_START = "waiting to start"
    WAITING_TO_RUN = "waiting to run"
    RUNNING = "running"
    WAITING_FOR_CHILDREN = "waiting for children"
    ROLLING_BACK = "rolling back"
    ENDED = "ended"
    RESTARTED = "restarted"


class State(str, Enum):
    """Where the current run of a job stands."""

    WAITING_FOR_START = "WAITING_FOR_START"
    WAITING_FOR_PREDECESSOR = "WAITING_FOR_PREDECESSOR"
    WAITING_FOR_LOCK = "WAITING_FOR_LOCK"
    HOST_BLOCKED = "HOST_BLOCKED"
    SUSPENDED = "SUSPENDED"
    QUEUED = "QUEUED"
    REMOVING = "REMOVING"
    RUNNING = "RUNNING"
    SHUTDOWN_REQUEST = "SHUTDOWN_REQUEST"
    PAUSE_REQUEST = "PAUSE_REQUEST"
    CANCELLING_BY_SYSTEM = "CANCELLING_BY_SYSTEM"
    CANCELLING_BY_USER = "CANCELLING_BY_USER"
    CHILD_QUEUED = "CHILD_QUEUED"
    CHILD_RUNNING = "CHILD_RUNNING"
    ROLLING_BACK = "ROLLING_BACK"
    FINISHED = "FINISHED"
    REMOVED = "REMOVED"
    REPLACED = "REPLACED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"
    KILLED = "KILLED"
    ERROR = "ERROR"
    ABORTED = "ABORTED"
    SHUTDOWN_CONFIRMED = "SHUTDOWN_CONFIRMED"
    RESCHEDULED = "RESCHEDULED"
    SHUTDOWN_RESTART = "SHUTDOWN_RESTART"
    ABORTED_RESTART = "ABORTED_RESTART"
    TIMEOUT_RETRY = "TIMEOUT_RETRY"
    ERROR_RETRY = "ERROR_RETRY"

    @property
    def category(self) -> Category:
        """The category this state belongs to."""
        return ABOUT[self].category

    @property
    def is_live(self) -> bool:
        """True while the run has neither ended nor been restarted."""
        return self.category not in (Category.ENDED, Category.RESTARTED)

    def __str__(self) -> str:
        return self.value


class Outcome(str, Enum):
    """What came of a job [TFS]."""

    SUCCEEDED = "SUCCEEDED"
    PARTIALLY_SUCCEEDED = "PARTIALLY_SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    KILLED = "KILLED"
    REMOVED = "REMOVED"

    def __str__(self) -> str:
        return self.value


class OracleState(str, Enum):
    """The six job states of Oracle VM Manager [OVM table 8.2]."""

    COMPLETED = "Completed"
    IN_PROGRESS = "In Progress"
    ABORTED = "Aborted"
    FAILED = "Failed"
    CHILD_QUEUED = "Child Queued"
    CHILD_RUNNING = "Child Running"


class FiveState(str, Enum):
    """The five states of a TFS job [TFS]."""

    IN_PROGRESS = "IN_PROGRESS"
    QUEUED = "QUEUED"
    SCHEDULED = "SCHEDULED"
    HOST_BLOCKED = "HOST_BLOCKED"
    NOT_SCHEDULED = "NOT_SCHEDULED"

    def __str__(self) -> str:
        return self.value


class WmiState(IntEnum):
    """``JobState`` of CIM_ConcreteJob, which Hyper-V's Msvm_ConcreteJob inherits [HV]."""

    NEW = 2
    STARTING = 3
    RUNNING = 4
    SUSPENDED = 5
    SHUTTING_DOWN = 6
    COMPLETED = 7
    TERMINATED = 8
    KILLED = 9
    EXCEPTION = 10
    SERVICE = 11
    QUERY_PENDING = 12


@dataclass(frozen=True, slots=True)
class About:
    """What a state means, and how Celery, Oracle VM, TFS and WMI would call it."""

    category: Category
    celery: str
    oracle: OracleState
    tfs: FiveState
    wmi: WmiState
    meaning: str


S, _C, _O, _T, _W = State, Category, OracleState, FiveState, WmiState

# fmt: off
ABOUT: dict[State, About] = {
    S.WAITING_FOR_START: About(_C.WAITING_TO_START, "PENDING", _O.IN_PROGRESS, _T.SCHEDULED, _W.NEW,
        "stored; its start time lies ahead"),
    S.WAITING_FOR_PREDECESSOR: About(_C.WAITING_TO_START, "PENDING", _O.IN_PROGRESS, _T.QUEUED, _W.NEW,
        "due, but a job it comes after has not ended"),
    S.WAITING_FOR_LOCK: About(_C.WAITING_TO_START, "PENDING", _O.IN_PROGRESS, _T.QUEUED, _W.NEW,
        "due, but a named lock it needs is held"),
    S.HOST_BLOCKED: About(_C.WAITING_TO_START, "PENDING", _O.IN_PROGRESS, _T.HOST_BLOCKED, _W.NEW,
        "due or scheduled, but its host is offline or dormant"),
    S.SUSPENDED: About(_C.WAITING_TO_START, "PENDING", _O.IN_PROGRESS, _T.NOT_SCHEDULED, _W.SUSPENDED,
        "no planned start; everything it knows is kept"),
    S.QUEUED: About(_C.WAITING_TO_RUN, "PENDING", _O.IN_PROGRESS, _T.QUEUED, _W.STARTING,
        "ready, in the queue for a free worker slot"),
    S.REMOVING: About(_C.WAITING_TO_RUN, "PENDING", _O.IN_PROGRESS, _T.QUEUED, _W.SHUTTING_DOWN,
        "cancelled before it started; the removal goes through the queue"),
    S.RUNNING: About(_C.RUNNING, "STARTED", _O.IN_PROGRESS, _T.IN_PROGRESS, _W.RUNNING,
        "being executed"),
    S.SHUTDOWN_REQUEST: About(_C.RUNNING, "STARTED", _O.IN_PROGRESS, _T.IN_PROGRESS, _W.SHUTTING_DOWN,
        "its worker is going down; it should end soon and leave a checkpoint"),
    S.PAUSE_REQUEST: About(_C.RUNNING, "STARTED", _O.IN_PROGRESS, _T.IN_PROGRESS, _W.SHUTTING_DOWN,
        "asked to pause; it should end soon and leave a checkpoint"),
    S.CANCELLING_BY_SYSTEM: About(_C.RUNNING, "STARTED", _O.IN_PROGRESS, _T.IN_PROGRESS, _W.SHUTTING_DOWN,
        "over its maximum run time; killed after the grace period"),
    S.CANCELLING_BY_USER: About(_C.RUNNING, "STARTED", _O.IN_PROGRESS, _T.IN_PROGRESS, _W.SHUTTING_DOWN,
        "told to cancel; killed after the grace period"),
    S.CHILD_QUEUED: About(_C.WAITING_FOR_CHILDREN, "STARTED", _O.CHILD_QUEUED, _T.IN_PROGRESS, _W.RUNNING,
        "its own body is done, children wait; no worker slot is held"),
    S.CHILD_RUNNING: About(_C.WAITING_FOR_CHILDREN, "STARTED", _O.CHILD_RUNNING, _T.IN_PROGRESS, _W.RUNNING,
        "its own body is done, at least one child runs; no worker slot is held"),
    S.ROLLING_BACK: About(_C.ROLLING_BACK, "STARTED", _O.IN_PROGRESS, _T.IN_PROGRESS, _W.SHUTTING_DOWN,
        "it failed or was aborted; its compensations run, newest first"),
    S.FINISHED: About(_C.ENDED, "SUCCESS", _O.COMPLETED, _T.NOT_SCHEDULED, _W.COMPLETED,
        "done"),
    S.REMOVED: About(_C.ENDED, "REVOKED", _O.ABORTED, _T.NOT_SCHEDULED, _W.TERMINATED,
        "cancelled before the start, and told so"),
    S.REPLACED: About(_C.ENDED, "REVOKED", _O.ABORTED, _T.NOT_SCHEDULED, _W.TERMINATED,
        "replaced by a newer version before the start"),
    S.CANCELLED: About(_C.ENDED, "REVOKED", _O.ABORTED, _T.NOT_SCHEDULED, _W.TERMINATED,
        "ended itself after a user's cancel"),
    S.TIMEOUT: About(_C.ENDED, "FAILURE", _O.FAILED, _T.NOT_SCHEDULED, _W.EXCEPTION,
        "ended itself after its time ran out"),
    S.KILLED: About(_C.ENDED, "FAILURE", _O.ABORTED, _T.NOT_SCHEDULED, _W.KILLED,
        "did not end itself within the grace period, and was killed: dangerous"),
    S.ERROR: About(_C.ENDED, "FAILURE", _O.FAILED, _T.NOT_SCHEDULED, _W.EXCEPTION,
        "an unhandled exception"),
    S.ABORTED: About(_C.ENDED, "FAILURE", _O.ABORTED, _T.NOT_SCHEDULED, _W.EXCEPTION,
        "its worker vanished: crash, power, out of memory, lease lost"),
    S.SHUTDOWN_CONFIRMED: About(_C.ENDED, "FAILURE", _O.ABORTED, _T.NOT_SCHEDULED, _W.TERMINATED,
        "ended itself because its worker went down; normally moves on at once"),
    S.RESCHEDULED: About(_C.RESTARTED, "RETRY", _O.IN_PROGRESS, _T.SCHEDULED, _W.NEW,
        "ended well, and planned its next run"),
    S.SHUTDOWN_RESTART: About(_C.RESTARTED, "RETRY", _O.IN_PROGRESS, _T.SCHEDULED, _W.NEW,
        "planned again after SHUTDOWN_CONFIRMED"),
    S.ABORTED_RESTART: About(_C.RESTARTED, "RETRY", _O.IN_PROGRESS, _T.SCHEDULED, _W.NEW,
        "planned again after ABORTED"),
    S.TIMEOUT_RETRY: About(_C.RESTARTED, "RETRY", _O.IN_PROGRESS, _T.SCHEDULED, _W.NEW,
        "planned again after TIMEOUT"),
    S.ERROR_RETRY: About(_C.RESTARTED, "RETRY", _O.IN_PROGRESS, _T.SCHEDULED, _W.NEW,
        "planned again after ERROR"),
}
# fmt: on


def states(*categories: Category) -> tuple[State, ...]:
    """All states of the given categories, in the order of the table."""
    return tuple(state for state in State if state.category in categories)


class Actor(str, Enum):
    """Who may use a verb: up to QUEUED a run belongs to the manager, from RUNNING on to its worker [WI]."""

    MANAGER = "manager"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Verb:
    """One named set of edges: from any of `sources` to `target`; no source means the birth of a run."""

    name: str
    sources: tuple[State, ...]
    target: State
    actor: Actor
    meaning: str


_WAITING = states(_C.WAITING_TO_START)
_UNSTARTED = (*_WAITING, S.QUEUED)
_UNASKED = (S.RUNNING, S.SHUTDOWN_REQUEST, S.PAUSE_REQUEST)
_ACTIVE = states(_C.RUNNING)
_CHILDREN = states(_C.WAITING_FOR_CHILDREN)
_MANAGER, _WORKER = Actor.MANAGER, Actor.WORKER

_ROWS = (
    Verb("submit", (), S.QUEUED, _MANAGER, "a new run, ready at once"),
    Verb("submit_later", (), S.WAITING_FOR_START, _MANAGER, "a new run with a start time ahead"),
    Verb("submit_after", (), S.WAITING_FOR_PREDECESSOR, _MANAGER, "a new run behind another job"),
    Verb("submit_locked", (), S.WAITING_FOR_LOCK, _MANAGER, "a new run whose lock is held"),
    Verb("submit_blocked", (), S.HOST_BLOCKED, _MANAGER, "a new run whose host is not online"),
    Verb("submit_suspended", (), S.SUSPENDED, _MANAGER, "a new run without a planned start"),
    Verb("enqueue", _WAITING, S.QUEUED, _MANAGER, "what it waited for is there"),
    Verb(
        "change_start",
        (*_WAITING, S.QUEUED),
        S.WAITING_FOR_START,
        _MANAGER,
        "its start time is changed in place",
    ),
    Verb(
        "await_predecessor",
        (S.WAITING_FOR_START, S.WAITING_FOR_LOCK, S.HOST_BLOCKED, S.SUSPENDED),
        S.WAITING_FOR_PREDECESSOR,
        _MANAGER,
        "due, but the job before it still runs",
    ),
    Verb(
        "await_lock",
        (S.WAITING_FOR_START, S.WAITING_FOR_PREDECESSOR, S.HOST_BLOCKED, S.SUSPENDED),
        S.WAITING_FOR_LOCK,
        _MANAGER,
        "due, but a lock is held",
    ),
    Verb(
        "block",
        (S.WAITING_FOR_START, S.WAITING_FOR_PREDECESSOR, S.WAITING_FOR_LOCK, S.SUSPENDED, S.QUEUED),
        S.HOST_BLOCKED,
        _MANAGER,
        "its host went offline or dormant",
    ),
    Verb(
        "suspend",
        (S.WAITING_FOR_START, S.WAITING_FOR_PREDECESSOR, S.WAITING_FOR_LOCK, S.HOST_BLOCKED, S.QUEUED),
        S.SUSPENDED,
        _MANAGER,
        "its planned start is taken away",
    ),
    Verb("replace", _UNSTARTED, S.REPLACED, _MANAGER, "a newer version of it was submitted"),
    Verb("remove", _UNSTARTED, S.REMOVING, _MANAGER, "cancelled before the start"),
    Verb("confirm_removal", (S.REMOVING, S.ROLLING_BACK), S.REMOVED, _WORKER, "the removal came through the queue"),
    Verb("claim", (S.QUEUED,), S.RUNNING, _WORKER, "a worker starts this run"),
    Verb(
        "request_shutdown",
        (S.RUNNING, S.PAUSE_REQUEST),
        S.SHUTDOWN_REQUEST,
        _WORKER,
        "its worker is going down",
    ),
    Verb("request_pause", (S.RUNNING,), S.PAUSE_REQUEST, _MANAGER, "it should pause"),
    Verb("time_over", (*_UNASKED, *_CHILDREN), S.CANCELLING_BY_SYSTEM, _WORKER, "its maximum run time is over"),
    Verb(
        "cancel",
        (*_UNASKED, S.CANCELLING_BY_SYSTEM, *_CHILDREN),
        S.CANCELLING_BY_USER,
        _MANAGER,
        "a user wants it to end",
    ),
    Verb("await_children", _UNASKED, S.CHILD_QUEUED, _WORKER, "its body is done, its children are not"),
    Verb("child_started", (S.CHILD_QUEUED,), S.CHILD_RUNNING, _MANAGER, "the first of its children runs"),
    Verb("child_stopped", (S.CHILD_RUNNING,), S.CHILD_QUEUED, _MANAGER, "none of its children runs, some wait"),
    Verb(
        "roll_back", (S.REMOVING, *_ACTIVE, *_CHILDREN), S.ROLLING_BACK, _WORKER, "its compensations have to run first"
    ),
    Verb("finish", (*_ACTIVE, *_CHILDREN), S.FINISHED, _WORKER, "its body is done, told to end or not"),
    Verb("confirm_cancel", (S.CANCELLING_BY_USER, S.ROLLING_BACK), S.CANCELLED, _WORKER, "it obeyed the cancel"),
    Verb("confirm_timeout", (S.CANCELLING_BY_SYSTEM, S.ROLLING_BACK), S.TIMEOUT, _WORKER, "it obeyed the time limit"),
    Verb("confirm_shutdown", (S.SHUTDOWN_REQUEST,), S.SHUTDOWN_CONFIRMED, _WORKER, "it obeyed the shutdown"),
    Verb(
        "kill",
        (S.PAUSE_REQUEST, S.CANCELLING_BY_SYSTEM, S.CANCELLING_BY_USER, S.ROLLING_BACK),
        S.KILLED,
        _WORKER,
        "its grace period is over",
    ),
    Verb("fail", (*_ACTIVE, *_CHILDREN, S.ROLLING_BACK), S.ERROR, _WORKER, "an exception left its body"),
    Verb("abort", (*_ACTIVE, *_CHILDREN, S.ROLLING_BACK), S.ABORTED, _MANAGER, "its worker vanished"),
    Verb(
        "reschedule",
        (S.FINISHED, S.REMOVED, S.CANCELLED, S.KILLED),
        S.RESCHEDULED,
        _WORKER,
        "its next run is planned",
    ),
    Verb("restart_after_shutdown", (S.SHUTDOWN_CONFIRMED,), S.SHUTDOWN_RESTART, _WORKER, "to go on elsewhere"),
    Verb("restart_after_abort", (S.ABORTED,), S.ABORTED_RESTART, _MANAGER, "to be done again elsewhere"),
    Verb("retry_after_timeout", (S.TIMEOUT,), S.TIMEOUT_RETRY, _WORKER, "to be tried again"),
    Verb("retry_after_error", (S.ERROR,), S.ERROR_RETRY, _WORKER, "to be tried again"),
)

#: Every verb by its name: the graph.
VERBS: dict[str, Verb] = {verb.name: verb for verb in _ROWS}

#: The restart that follows each kind of end, when the job is to run again.
RESTART_OF: dict[State, str] = {
    source: verb.name for verb in _ROWS if verb.target.category is _C.RESTARTED for source in verb.sources
}


@cache
def steps(*names: str) -> str:
    """The rows of one walk through the graph, as the scripts read them.

    Parameters: the names of verbs, in order; one with a leading ``?`` is skipped where it does not apply.
    Returns: ``"SOURCE,SOURCE>TARGET;?…"``; a birth has the empty source.
    """
    return ";".join(_row(name) for name in names)


def _row(name: str) -> str:
    verb = VERBS[name.removeprefix("?")]
    return f"{'?' if name.startswith('?') else ''}{','.join(verb.sources)}>{verb.target.value}"

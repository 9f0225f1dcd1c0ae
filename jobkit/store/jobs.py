"""The verbs on jobs: each a guarded script that answers ok, again, refused, fenced or missing."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from redis import Redis

from jobkit import locks
from jobkit.errors import Fenced, IllegalTransition, InvalidOption, JobNotFound, SchemaMismatch
from jobkit.locks import Lock
from jobkit.model import Failure
from jobkit.states import ABOUT, RESTART_OF, Category, Outcome, State, states, steps
from jobkit.store.connection import PATIENCE, patiently, stubbornly
from jobkit.store.gone import absence
from jobkit.store.graph import PUBLISH_LEASE
from jobkit.store.keys import SCHEMA, Keys, checked_id
from jobkit.store.scripts import Scripts

T = TypeVar("T")

#: Milliseconds in which a job has to be told of its end, once the message that brings it to who tells it is out.
TELLING_LEASE = 30_000
#: Bytes of log lines kept with a job.
LOG_BYTES = 32_768

#: The states of a run that is over, as the scripts read them.
OVER = ",".join(states(Category.ENDED, Category.RESTARTED))
_ACTIVE = ",".join(states(Category.RUNNING))
_READY = ",".join(states(Category.WAITING_TO_RUN))
_BIRTH = steps("submit")
BIRTHS = steps("submit", "submit_later", "submit_after", "submit_suspended")
_RESTART = ";".join(f"?{state}>{steps(verb).partition('>')[2]}" for state, verb in RESTART_OF.items())
_AFTER = State.WAITING_FOR_PREDECESSOR
_RELEASE, _RELEASE_LATER = (f"{_AFTER}>{steps(verb).partition('>')[2]}" for verb in ("enqueue", "change_start"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class Verdict(NamedTuple):
    """What a verb answered: its code, where the job stands now, the messages that are to be published, and the jobs
    whose family is to be looked at."""

    code: str
    state: str
    run: int
    publish: tuple[tuple[str, int, str], ...] = ()
    settle: tuple[str, ...] = ()


class Claim(NamedTuple):
    """The answer to a claim: whether this process may run it, and what the job knows already.

    `newest` of a definition's job: arguments, data and log level as its definition has them now.
    """

    code: str
    state: str
    run: int
    checkpoint: str
    owner: str
    tags: tuple[str, ...]
    worker: str
    restarts: str
    hook: str
    newest: tuple[str, ...] = ()


class Pruned(NamedTuple):
    """How many ended jobs went because their time was over, and for want of room."""

    aged: int
    evicted: int


class Settled(NamedTuple):
    """Who writes: a run's number, its claim token, and the worker (with its boot) that holds it."""

    run: int | None
    token: str
    worker: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What there is room for: `jobs` and `bytes` of ended jobs (None: any), of which none goes before `least` ms
    unless memory itself is at stake; `gone_jobs` of those that went stay known, for `gone_ms` at most; `pins` of one
    owner's jobs may be pinned."""

    jobs: int | None = 4096
    least: int = 30_000
    bytes: int | None = None
    gone_jobs: int = 20_000
    gone_ms: int = 86_400_000
    pins: int = 10_000

    def text(self, keep: int | str = "") -> str:
        """As the scripts read it; `keep` is for how many ms the job at hand is kept."""
        parts = (keep, self.jobs, self.least, self.bytes, self.gone_jobs, self.gone_ms)
        return ";".join("" if part is None else str(part) for part in parts)


#: Who has a job pinned that is to be kept until it is read.
READER = "reader"
#: Those of an app that says nothing.
DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Plan:
    """A job as it is submitted.

    `message` is all that is needed to publish it again, as JSON text; `start` is in ms of Redis time; `after` the id of
    the job it comes after; `suspended` leaves it without a start; `token` is the claim of the run that plans its own
    next one: it is fenced; `locks` are what it has to hold while it is at work, `host` what it
    works on;
    `keep` is for how many ms it is kept once it has ended, `until_read` that this counts from when it is read; `kin` is
    its root, or its group, with which it is retained as one.
    """

    id: str
    task: str
    message: str
    start: int | None = None
    after: str = ""
    suspended: bool = False
    token: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    locks: tuple[Lock, ...] = ()
    host: str = ""
    keep: int | None = None
    until_read: bool = False
    kin: str = ""
    up: str = ""
    upon: str = ""
    fence: str = ""
    facts: Mapping[str, str | int] = field(default_factory=dict)

    def fields(self) -> list[str | int]:
        """The fields of its record, flat."""
        known = {"task": self.task, "message": self.message, "owner": self.owner, "tags": "\n".join(self.tags)}
        if self.kin or self.until_read or self.keep is not None:
            keep, flag = "" if self.keep is None else self.keep, "u" if self.until_read else ""
            known["retain"] = f"{keep}|{flag}|{self.kin}"
        bonds = "L" * bool(self.locks) + "H" * bool(self.host)
        bonds += "P" if self.up else "T" * bool(self.facts.get("parent"))
        if bonds:
            family = {"up": self.up, "upon": self.upon, "fence": self.fence}
            known |= {"bonds": bonds, "locks": locks.to_text(self.locks), "host": self.host, **family}
        return [part for item in {**known, **self.facts}.items() if item[1] != "" for part in item]


@dataclass(frozen=True, slots=True)
class End:
    """How a run ends.

    `verbs` is the walk through the graph, `born` the one of a job without a record ("()": refuse); `meta` what Celery's
    clients read; `keep` milliseconds of retention; `again` has it run once more with what it has,
    after so many seconds; `paused` leaves that run without a start;
    `hook` has the job told of it by whoever the queue brings it to; `here`, by who ends it, unless it dies before.
    """

    verbs: tuple[str, ...]
    outcome: Outcome
    note: str = ""
    failure: Failure | None = None
    meta: str | bytes = ""
    keep: int = 300_000
    born: tuple[str, ...] = ()
    again: float | None = None
    paused: bool = False
    hook: bool = False
    here: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)

    def fields(self) -> list[str]:
        """The fields it adds to the record, flat."""
        known = {"outcome": self.outcome.value, "note": self.note, **self.facts}
        if self.failure:
            known["failure"] = json.dumps([self.failure.type, self.failure.message, self.failure.traceback])
        return [part for item in known.items() if item[1] for part in item]

    def next_start(self) -> int | str:
        """When it is to run again: ms from now, "never" until somebody says when, "" if it is not."""
        if self.paused:
            return "never"
        return "" if self.again is None else int(self.again * 1000)

    def dropped(self) -> str:
        """The fields nobody needs after it, and those that are about another run."""
        return "token,next,logged,note,failure" + ("" if self.hook or self.here else self.spent())

    def spent(self) -> str:
        """What nobody needs of a job that has ended, once it was told so."""
        return ",pid,policy,grace,restarts" + (",message" if self.outcome is Outcome.SUCCEEDED else "")

    def telling(self) -> int:
        """Who tells the job: 0 nobody, 1 the queue's choice, 2 who ends it."""
        return 2 if self.here else int(self.hook)


def operation() -> str:
    """A new operation id; as a claim token it is the random half of the fence."""
    return secrets.token_urlsafe(9)


def clean(text: str, limit: int = 500) -> str:
    """A text for one field of the path: no control characters, bounded."""
    return _CONTROL.sub(" ", text)[:limit]


def plain(text: str) -> str:
    """A text that can be written: what is no character (a file name may hold half of one) is spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()


class JobStore:
    """One namespace of jobs in one Redis.

    Parameters: a `client` (bytes, not decoded), `namespace`, `url` for messages (without a password), `patience` in
    seconds of trying again while Redis does not answer; `limits` of what ended jobs take; `test_clock` for tests only.
    """

    def __init__(
        self,
        client: Redis,
        namespace: str = "jobkit",
        *,
        url: str = "",
        patience: float = PATIENCE,
        limits: Limits = DEFAULT_LIMITS,
        test_clock: bool = False,
    ) -> None:
        self.client, self.url, self.patience, self.limits = client, url, patience, limits
        self.keys = Keys(namespace)
        self._scripts = Scripts(client, self.keys.base, test_clock=test_clock)

    def call(self, what: Callable[[], T]) -> T:
        """One call to Redis, tried again for a while, its failures named."""
        return patiently(what, self.url, self.patience)

    def run(self, script: str, *args: Any, late: str = "") -> Any:
        """Run a verb's script; `late` names what has happened already, and is recorded late if Redis cannot take it."""
        if late:
            return stubbornly(lambda: self._scripts(script, *args), self.url, late)
        return self.call(lambda: self._scripts(script, *args))

    def check_schema(self) -> None:
        """Write the schema of a new namespace, or check that of an old one.  Raises: `SchemaMismatch`."""
        about = self.keys.key("about")
        self.call(lambda: self.client.hsetnx(about, "schema", SCHEMA))
        found: Any = self.call(lambda: self.client.hget(about, "schema")) or b""
        if found != str(SCHEMA).encode():
            raise SchemaMismatch(
                url=self.url, namespace=self.keys.namespace, found=found.decode(), expected=SCHEMA,
                reason="upgrade this jobkit, or use another namespace",
            )  # fmt: skip

    # -- the manager's verbs -------------------------------------------------------------------------------

    def create(self, plan: Plan, by: str, reason: str = "", op: str = "", *, stubborn: bool = False) -> Verdict:
        """Record a job before its message is published.

        Parameters: `stubborn` tries on for an hour while Redis cannot take it: the next run of one that runs.
        Returns: `ok` with its state, `next` if the id is running (kept as its next run).  Raises: `JobNotFound` for a
        predecessor that is not there, `InvalidOption` for an id, a tag or a predecessor that cannot be one, `Fenced`
        where a run that has another owner by now plans its next one.
        """
        checked_id(plan.id)
        if plan.after == plan.id:
            raise InvalidOption(option="after", value=plan.after, allowed="must be another job than the one that waits")
        if any("\n" in tag for tag in plan.tags):
            raise InvalidOption(option="tags", value=plan.tags, allowed="a tag must not have a line break")
        reply = self.run(
            "create", plan.id, op or operation(), clean(by), clean(reason), _or_empty(plan.start), plan.after,
            int(plan.suspended), BIRTHS, steps("replace"), OVER, plan.token, *plan.fields(),
            late=f"the next run of job {plan.id}" if stubborn else "",
        )  # fmt: skip
        if reply[0] == b"missing":
            raise self.absence(plan.after)
        return self.verdict(plan.id, reply)

    def discard(self, job_id: str, op: str, run: int, by: str = "client") -> Verdict:
        """Forget a job whose message could not be published; one that has a past ends as removed instead."""
        waiting = ",".join(states(Category.WAITING_TO_START, Category.WAITING_TO_RUN))
        args = (op, run, waiting, clean(by), _RELEASE, _RELEASE_LATER, PUBLISH_LEASE)
        verdict = self.verdict(job_id, self.run("discard", job_id, *args), strict=False)
        if verdict.code != "kept":
            return verdict
        end = End(("?remove", "confirm_removal"), Outcome.REMOVED, "its message could not be published")
        return self.finish(job_id, Settled(None, "", by), end, end.note)

    def suspend(self, job_id: str, by: str, reason: str = "", op: str = "") -> Verdict:
        """Take a job's planned start away; it keeps all it knows."""
        reply = self.run("suspend", job_id, op or operation(), clean(by), clean(reason), steps("suspend"))
        return self.verdict(job_id, reply)

    def ask(
        self, job_id: str, verb: str, by: str, reason: str = "", grace: float | None = None, op: str = ""
    ) -> Verdict:
        """Tell a running job to end: `cancel`, `request_pause`, `time_over` or `request_shutdown`.

        Its worker is sent the order; `grace` in seconds instead of what the job was given.
        """
        given = "" if grace is None else int(grace * 1000)
        reply = self.run("ask", job_id, op or operation(), clean(by), clean(reason), steps(verb), given)
        return self.verdict(job_id, reply)

    def change_start(self, job_id: str, start: int | None, by: str, reason: str = "", op: str = "") -> Verdict:
        """Give a job that has not started another start time, ms of Redis time; None or the past means now."""
        return self.verdict(
            job_id,
            self.run(
                "change_start", job_id, op or operation(), clean(by), clean(reason), _or_empty(start),
                steps("change_start"), steps("enqueue"), steps("await_predecessor"), OVER, PUBLISH_LEASE,
            ),
        )  # fmt: skip

    def remove(self, job_id: str, by: str, reason: str = "", op: str = "") -> Verdict:
        """Abort a job that has not started; its removal goes through the queue."""
        args = (steps("remove"), PUBLISH_LEASE, State.QUEUED.value)
        return self.verdict(job_id, self.run("remove", job_id, op or operation(), clean(by), clean(reason), *args))

    def take(self, by: str, most: int = 200) -> tuple[int, list[tuple[str, int, str]]]:
        """Queue what is due; returns the lease's end (ms) and (id, run, message) of every message that is owed."""
        reply = self.run(
            "take", operation(), clean(by), most, PUBLISH_LEASE, steps("enqueue"), steps("await_predecessor"), OVER,
            _READY,
        )  # fmt: skip
        parts = iter(reply[1:])
        return int(reply[0]), [(i.decode(), int(r), m.decode()) for i, r, m in zip(parts, parts, parts, strict=True)]

    def published(self, job_ids: Sequence[str]) -> None:
        """These messages are out."""
        if job_ids:
            self.run("published", TELLING_LEASE, *job_ids)

    def prune(self, most: int = 200, *, urgent: bool = False) -> Pruned:
        """Drop ended jobs whose time is over, and those there is no room for; `urgent`: memory itself is at stake."""
        return Pruned(*map(int, self.run("prune", most, OVER, self.limits.text(), int(urgent))))

    def forget(self, job_id: str) -> Verdict:
        """Drop an ended job's record; of a live one only its result so far."""
        return self.verdict(job_id, self.run("forget", job_id, OVER, self.limits.text()), strict=False)

    def read(self, job_id: str, *names: str) -> list[Any]:
        """Fields of a record (all of them, with their names, where none is named); of an ended job that is a use.

        Raises: `JobExpired`, `JobUnknown`.
        """
        reply = self.run("read", job_id, OVER, *names)
        if reply[0] != b"ok":
            raise absence(job_id, self.keys.namespace, reply)
        if reply[2]:
            self.unpin(READER, [job_id])
        return reply[1]  # type: ignore[no-any-return]

    def pin(self, pinner: str, lease: float, job_ids: Sequence[str]) -> dict[str, str]:
        """Keep jobs for `lease` seconds, whatever their time; the same pinner may do so again, and again.

        Returns: those that were not pinned, and why: missing, or full (as many of its owner's are pinned as may be).
        """
        args = (pinner, int(lease * 1000), self.limits.pins, OVER)
        parts = iter(part.decode() for part in self.run("pin", *args, *job_ids))
        return dict(zip(parts, parts, strict=True))

    def unpin(self, pinner: str, job_ids: Sequence[str]) -> int:
        """Let jobs go that this pinner holds; returns how many he held."""
        return int(self.run("unpin", pinner, OVER, self.limits.text(), *job_ids))

    def let_go(self, most: int = 200) -> int:
        """What was held back, by pins that are over and by families that have ended, may go from now on."""
        return int(self.run("let_go", most, OVER, self.limits.text()))

    def memory(self) -> tuple[int, int]:
        """Bytes Redis uses, and may use (0: any)."""
        found: Any = self.call(lambda: self.client.info("memory"))
        return int(found["used_memory"]), int(found.get("maxmemory", 0))

    def absence(self, job_id: str) -> JobNotFound:
        """Why there is no record of this job: it has gone, or there never was one."""
        return absence(job_id, self.keys.namespace, self.run("read", job_id, OVER, "state"))

    # -- the worker's verbs --------------------------------------------------------------------------------

    def claim(
        self,
        job_id: str,
        run: int | None,
        token: str,
        worker: str,
        pid: int,
        *,
        redelivered: bool,
        plan: Plan,
        blocks: bool = False,
        run_time: float | None = None,
        facts: Mapping[str, str | int] | None = None,
    ) -> Claim:
        """Start a run: the first one is told `ok`, whoever comes later what became of it.

        `run` is None for a message from a client without jobkit; its record is then made from `plan`.  `run_time`
        is how many seconds it may take, `facts` fields of every claim; `blocks` says that something may be blocked.
        """
        common = [part for item in (facts or {}).items() for part in item]
        reply = self.run(
            "claim", job_id, token, clean(worker.partition("|")[0]), "", _or_empty(run), steps("claim"),
            steps("confirm_removal"), _BIRTH, OVER, "r" * redelivered + "b" * blocks, worker, pid,
            "" if run_time is None else int(run_time * 1000), len(common), *common,
            *(plan.fields() if run is None else ()),
        )  # fmt: skip
        code, state, number, *kept = reply
        checkpoint, owner, tags, holder, restarts, hook, *newest = (part.decode() for part in kept)
        names = tuple(tag for tag in tags.split("\n") if tag)
        return Claim(
            code.decode(), state.decode(), int(number), checkpoint, owner, names, holder, restarts, hook, tuple(newest)
        )

    def finish(
        self, job_id: str, holder: Settled, end: End, reason: str = "", op: str = "", *, stubborn: bool = False
    ) -> Verdict:
        """End a run, in one script: result, retention, next run, successors, waiting clients.

        Parameters: `stubborn` tries on for an hour while Redis cannot take it: of a body that is over already.
        Raises: `Fenced` if the run is somebody else's by now, `IllegalTransition` if the graph has no such walk.
        """
        reply = self.run(
            "finish", job_id, op or operation(), clean(holder.worker.partition("|")[0]), clean(reason),
            _or_empty(holder.run), holder.token, holder.worker, steps(*end.verbs), steps(*end.born), _RESTART,
            BIRTHS, OVER, _RELEASE, _RELEASE_LATER, end.meta, self.limits.text(end.keep), end.dropped(), PUBLISH_LEASE,
            end.next_start(), end.telling(), *end.fields(), late=f"the end of job {job_id}" if stubborn else "",
        )  # fmt: skip
        return self.verdict(job_id, reply)

    def told(
        self,
        job_id: str,
        hook: tuple[int, str, str],
        *,
        untold: bool = False,
        interrupted: str = "",
        again: float | str | None = None,
        drop: str = "",
        facts: Mapping[str, str] | None = None,
        op: str = "",
    ) -> Verdict:
        """The job was told of the end of a run, by who holds the `hook`: run, token and worker.

        Parameters: `untold`, it was not, and others may; `interrupted`, why it was stopped while it was told; `again`,
        seconds until it is to run once more, "never" for a run without a start; `drop`, fields that nobody needs if it
        is not; `facts`, fields to set.
        Raises: `Fenced` if somebody else tells it, `IllegalTransition` if it cannot run again, having begun to.
        """
        start = again if isinstance(again, str) else "" if again is None else int(again * 1000)
        reply = self.run(
            "told", job_id, op or operation(), clean(hook[2].partition("|")[0]), *hook,
            "?" if untold else clean(interrupted), _RESTART, start, drop, BIRTHS, OVER, _RELEASE, _RELEASE_LATER,
            PUBLISH_LEASE, *(part for item in (facts or {}).items() for part in item),
            late=f"what became of on_finished of job {job_id}",
        )  # fmt: skip
        return self.verdict(job_id, reply)

    def tell(self, job_id: str, hook: tuple[int, str, str]) -> bool:
        """May the caller (run, token, worker) tell the job of the end of this run?  One may, however many ask.

        Who may says what became of it, see `told`.
        """
        reply = self.run("tell", job_id, *hook, OVER, late=f"who tells job {job_id} of its end")
        return self.verdict(job_id, reply, strict=False).code in ("ok", "again")

    def write(
        self, job_id: str, holder: Settled, fields: Mapping[str, str | bytes], announce: str | bytes = ""
    ) -> Verdict:
        """Set fields of a run that is being executed (progress, checkpoint, a custom Celery state)."""
        flat = [part for item in fields.items() for part in item]
        reply = self.run("write", job_id, _or_empty(holder.run), holder.token, holder.worker, _ACTIVE, announce, *flat)
        return self.verdict(job_id, reply)

    def log(self, job_id: str, holder: Settled, number: int, level: str, text: str) -> Verdict:
        """Keep a line a running job logged; `number` counts the lines of the run."""
        args = (_or_empty(holder.run), holder.token, number, clean(level, 20), clean(text, 2000), LOG_BYTES)
        return self.verdict(job_id, self.run("log", job_id, *args))

    def fence(self, job_id: str) -> int | None:
        """The fence of the locks a job holds; None if it holds none."""
        held: Any = self.call(lambda: self.client.hget(self.keys.job(job_id), "locked"))
        return int(held.split()[1]) if held else None

    # -- codes become exceptions here, and nowhere else -----------------------------------------------------

    def verdict(self, job_id: str, reply: Sequence[Any], *, strict: bool = True) -> Verdict:
        """What a script's answer means.  Raises: `JobUnknown`, `IllegalTransition`, `Fenced` if `strict`."""
        code, state, run, *rest = [part.decode() if isinstance(part, bytes) else part for part in reply]
        if strict and code == "missing":
            raise self.absence(job_id)
        if strict and code == "refused":
            raise IllegalTransition(job=job_id, source=state, target=rest[0])
        if strict and code == "fenced":
            raise Fenced(job_id=job_id, run=run)
        rows = list(zip(rest[::3], map(int, rest[1::3]), rest[2::3], strict=True)) if code == "ok" else []
        owed = tuple(row for row in rows if row[2])
        return Verdict(code, state, int(run), owed, tuple(row[0] for row in rows if not row[2]))


def _or_empty(value: int | None) -> int | str:
    return "" if value is None else value


def celery_status(state: str) -> str:
    """Celery's name for a state."""
    return ABOUT[State(state)].celery

"""The verbs on jobs: each a guarded script that answers ok, again, refused, fenced or missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from redis import Redis

from jobkit.errors import Fenced, IllegalTransition, InvalidOption, JobNotFound, NotConfirmed, SchemaMismatch
from jobkit.states import Category, Outcome, State, states, steps
from jobkit.store.connection import PATIENCE, patiently, stubbornly
from jobkit.store.durability import Durability, confirmed
from jobkit.store.gone import absence
from jobkit.store.graph import ACTIVE, BIRTHS, OVER, PUBLISH_LEASE, READY, RELEASE, RELEASE_LATER, RESTART
from jobkit.store.keys import SCHEMA, Keys, checked_id
from jobkit.store.scripts import Scripts
from jobkit.store.values import (
    DEFAULT_LIMITS,
    NOWHERE,
    READER,
    Claim,
    End,
    Limits,
    Plan,
    Pruned,
    Put,
    Settled,
    Verdict,
    clean,
    operation,
)

T = TypeVar("T")

#: Milliseconds in which a job has to be told of its end, once the message that brings it to who tells it is out.
TELLING_LEASE = 30_000
#: Bytes of log lines kept with a job.
LOG_BYTES = 32_768
#: What a claim is told of a job that has nothing to be told of.
_NO_MORE = (b"",) * 6


class JobStore:
    """One namespace of jobs in one Redis.

    Parameters: a `client` (bytes, not decoded), `namespace`, `url` for messages (without a password), `patience` in
    seconds of trying again while Redis does not answer; `limits` of what ended jobs take; `durability` of what is
    recorded; `test_clock` for tests only.
    """

    #: Has it been seen that this Redis can say when a write is as durable as it has to be?
    is_fit = False

    def __init__(
        self,
        client: Redis,
        namespace: str = "jobkit",
        *,
        url: str = "",
        patience: float = PATIENCE,
        limits: Limits = DEFAULT_LIMITS,
        durability: Durability = Durability(),  # noqa: B008  it is frozen
        test_clock: bool = False,
    ) -> None:
        self.client, self.url, self.patience, self.limits = client, url, patience, limits
        self.durability = durability
        self.keys = Keys(namespace)
        self._scripts = Scripts(client, self.keys.base, test_clock=test_clock)

    def call(self, what: Callable[[], T]) -> T:
        """One call to Redis, tried again for a while, its failures named."""
        return patiently(what, self.url, self.patience)

    def run(self, script: str, *args: Any, late: str = "", sure: Sequence[str] = ()) -> Any:
        """Run a verb's script.

        Parameters: `late` names what has happened already, and is recorded late if Redis cannot take it; `sure`, the
        jobs it is about, where it is to be as durable as the settings say when this returns.
        """
        if sure:
            return confirmed(self, script, args, sure, late)
        if late:
            return stubbornly(lambda: self._scripts(script, *args), self.url, late)
        return self.call(lambda: self._scripts(script, *args))

    def followed(self, script: str, args: Sequence[Any], commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers of a verb's script, and of the commands that follow it on the same connection."""
        return self._scripts.followed(script, args, commands)

    def submitted(self, *job_ids: str) -> Sequence[str]:
        """What has to be sure of these, which are submitted."""
        return job_ids if self.durability.submits else ()

    def claimed(self, job_id: str) -> Sequence[str]:
        """What has to be sure of a job when somebody acts on it."""
        return (job_id,) if self.durability.claims else ()

    def command(self, script: str, *args: Any, load: bool = False) -> list[Any]:
        """The command that runs a verb's script, for a connection of somebody else's."""
        return self._scripts.command(script, *args, load=load)

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
        self.call(lambda: self.client.hsetnx(about, "epoch", operation()))

    # -- the manager's verbs -------------------------------------------------------------------------------

    def create(
        self, plan: Plan, by: str, reason: str = "", op: str = "", *, put: Put = NOWHERE, stubborn: bool = False
    ) -> Verdict:
        """Record a job before its message is published.

        Parameters: `put`, its message, if this call is to publish it too; `stubborn` tries on for an hour while Redis
        cannot take it: the next run of one that runs.
        Returns: `ok` with its state, `next` if the id is running (kept as its next run).  Raises: `JobNotFound` for a
        predecessor that is not there, `InvalidOption` for an id, a tag or a predecessor that cannot be one, `Fenced`
        where a run that has another owner by now plans its next one.
        """
        args = self.creation(plan, by, reason, op, put)
        sure = () if plan.token else self.submitted(plan.id)  # its own next run: a part of the one that runs
        try:
            reply = self.run("create", *args, late=f"the next run of job {plan.id}" if stubborn else "", sure=sure)
        except NotConfirmed as exc:
            exc.verdict = self.created(plan, exc.answer)
            raise
        return self.created(plan, reply)

    def creation(self, plan: Plan, by: str, reason: str = "", op: str = "", put: Put = NOWHERE) -> list[Any]:
        """What `create` is given.  Raises: `InvalidOption`."""
        checked_id(plan.id)
        if plan.after == plan.id:
            raise InvalidOption(option="after", value=plan.after, allowed="must be another job than the one that waits")
        if any("\n" in tag for tag in plan.tags):
            raise InvalidOption(option="tags", value=plan.tags, allowed="a tag must not have a line break")
        return [
            plan.id, op or operation(), clean(by), clean(reason), _or_empty(plan.start), plan.after,
            int(plan.suspended), BIRTHS, steps("replace"), OVER, plan.token, *put, *plan.fields(),
        ]  # fmt: skip

    def created(self, plan: Plan, reply: list[Any]) -> Verdict:
        """What `create` answered.  Raises: as it does."""
        if reply[0] == b"missing":
            raise self.absence(plan.after)
        return self.verdict(plan.id, reply)

    def discard(self, job_id: str, op: str, run: int, by: str = "client") -> Verdict:
        """Forget a job whose message could not be published; one that has a past ends as removed instead."""
        waiting = ",".join(states(Category.WAITING_TO_START, Category.WAITING_TO_RUN))
        args = (op, run, waiting, clean(by), RELEASE, RELEASE_LATER, PUBLISH_LEASE)
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
        return self.verdict(job_id, self.run("ask", *order(job_id, verb, by, reason, grace, op)))

    def change_start(self, job_id: str, start: int | str | None, by: str, reason: str = "", op: str = "") -> Verdict:
        """Give a job that has not started another start time, ms of Redis time or "+ms" from now.

        None or the past means now.
        """
        return self.verdict(
            job_id,
            self.run(
                "change_start", job_id, op or operation(), clean(by), clean(reason), _or_empty(start),
                steps("change_start"), steps("enqueue"), steps("await_predecessor"), OVER, PUBLISH_LEASE,
            ),
        )  # fmt: skip

    def remove(self, job_id: str, by: str, reason: str = "", op: str = "") -> Verdict:
        """Abort a job that has not started; its removal goes through the queue."""
        return self.verdict(job_id, self.run("remove", *removal(job_id, by, reason, op)))

    def take(self, by: str, most: int = 200) -> tuple[int, list[tuple[str, int, str]]]:
        """Queue what is due; returns the lease's end (ms) and (id, run, message) of every message that is owed."""
        reply = self.run(
            "take", operation(), clean(by), most, PUBLISH_LEASE, steps("enqueue"), steps("await_predecessor"), OVER,
            READY,
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
        reply = self.run("read", job_id, *names)
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
        return absence(job_id, self.keys.namespace, self.run("read", job_id, "state"))

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
        digest: str = "",
        unrecorded: bool = True,
        blocks: bool = False,
        run_time: float | None = None,
        facts: Mapping[str, str | int] | None = None,
        stubborn: bool = False,
    ) -> Claim:
        """Start a run: the first one is told `ok`, whoever comes later what became of it.

        `run` is None for a message from a client without jobkit; its record is then made from `plan`.  `run_time`
        is how many seconds it may take, `facts` fields of every claim; `blocks` says that something may be blocked;
        `digest` is that of the message, `unrecorded` whether one that no record knows is accepted; `stubborn` tries
        on for an hour while Redis cannot take it: a job that cannot begin has not failed.
        """
        common = [part for item in (facts or {}).items() for part in item]
        reply = self.run(
            "claim", job_id, token, clean(worker.partition("|")[0]), "", f"{_or_empty(run)} {digest}",
            "r" * redelivered + "b" * blocks + "u" * unrecorded, worker, pid,
            "" if run_time is None else int(run_time * 1000), len(common), *common,
            *(plan.fields() if run is None else ()), late=f"the start of job {job_id}" if stubborn else "",
            sure=self.claimed(job_id) if stubborn else (),
        )  # fmt: skip
        code, state, number, *kept = reply
        checkpoint, owner, tags, holder, restarts, hook, *newest = [part.decode() for part in kept or _NO_MORE]
        names = tuple(tag for tag in tags.split("\n") if tag)
        return Claim(
            code.decode(), state.decode(), int(number), checkpoint, owner, names, holder, restarts, hook, tuple(newest)
        )

    def finish(
        self,
        job_id: str,
        holder: Settled,
        end: End,
        reason: str = "",
        op: str = "",
        *,
        stubborn: bool = False,
        recorded: bool = False,
    ) -> Verdict:
        """End a run, in one script: result, retention, next run, successors, waiting clients.

        Parameters: `stubborn` tries on for an hour while Redis cannot take it: of a body that is over already;
        `recorded`, there has to be a record, whatever the end says of jobs without one.
        Raises: `Fenced` if the run is somebody else's by now, `IllegalTransition` if the graph has no such walk.
        """
        born = "" if recorded else steps(*end.born)
        reply = self.run(
            "finish", job_id, op or operation(), clean(holder.worker.partition("|")[0]), clean(reason),
            _or_empty(holder.run), holder.token, holder.worker, steps(*end.verbs), born, end.meta,
            self.limits.text(end.keep), end.dropped(), end.next_start(), end.telling(), *end.fields(),
            late=f"the end of job {job_id}" if stubborn else "", sure=self.claimed(job_id) if stubborn else (),
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
        seconds until it is to run once more, "never" for a run without a start; `drop`, what nobody needs if it
        is not; `facts`, fields to set.
        Raises: `Fenced` if somebody else tells it, `IllegalTransition` if it cannot run again, having begun to.
        """
        start = again if isinstance(again, str) else "" if again is None else int(again * 1000)
        reply = self.run(
            "told", job_id, op or operation(), clean(hook[2].partition("|")[0]), *hook,
            "?" if untold else clean(interrupted), RESTART, start, drop, BIRTHS, OVER, RELEASE, RELEASE_LATER,
            PUBLISH_LEASE, *(part for item in (facts or {}).items() for part in item),
            late=f"what became of on_finished of job {job_id}",
        )  # fmt: skip
        return self.verdict(job_id, reply)

    def tell(self, job_id: str, hook: tuple[int, str, str]) -> bool:
        """May the caller (run, token, worker) tell the job of the end of this run?  One may, however many ask.

        Who may says what became of it, see `told`.
        """
        late, sure = f"who tells job {job_id} of its end", self.claimed(job_id)
        reply = self.run("tell", job_id, *hook, OVER, late=late, sure=sure)
        return self.verdict(job_id, reply, strict=False).code in ("ok", "again")

    def write(
        self, job_id: str, holder: Settled, fields: Mapping[str, str | bytes], announce: str | bytes = ""
    ) -> Verdict:
        """Set fields of a run that is being executed (progress, checkpoint, a custom Celery state)."""
        flat = [part for item in fields.items() for part in item]
        reply = self.run("write", job_id, _or_empty(holder.run), holder.token, holder.worker, ACTIVE, announce, *flat)
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
        if not rest or code != "ok":
            return Verdict(code, state, int(run))
        rows = list(zip(rest[::3], map(int, rest[1::3]), rest[2::3], strict=True))
        owed = tuple(row for row in rows if row[2])
        return Verdict(code, state, int(run), owed, tuple(row[0] for row in rows if not row[2]))


def order(job_id: str, verb: str, by: str, reason: str, grace: float | None, op: str = "") -> tuple[Any, ...]:
    """What `ask` is given."""
    given = "" if grace is None else int(grace * 1000)
    return job_id, op or operation(), clean(by), clean(reason), steps(verb), given


def removal(job_id: str, by: str, reason: str, op: str = "") -> tuple[Any, ...]:
    """What `remove` is given."""
    given = (steps("remove"), PUBLISH_LEASE, State.QUEUED.value)
    return job_id, op or operation(), clean(by), clean(reason), *given


def _or_empty(value: int | str | None) -> int | str:
    return "" if value is None else value

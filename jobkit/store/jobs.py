"""The verbs on jobs: each a guarded script that answers ok, again, refused, fenced or missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.errors import InvalidOption, NotConfirmed
from jobkit.states import Category, Outcome, State, states, steps
from jobkit.store.gone import absence
from jobkit.store.graph import BIRTHS, OVER, PUBLISH_LEASE, READY, RELEASE, RELEASE_LATER
from jobkit.store.keys import checked_id
from jobkit.store.namespace import or_empty
from jobkit.store.values import NOWHERE, READER, End, Plan, Pruned, Put, Settled, Verdict, clean, operation
from jobkit.store.working import Working

#: Milliseconds in which a job has to be told of its end, once the message that brings it to who tells it is out.
TELLING_LEASE = 30_000


class JobStore(Working):
    """A `Namespace` with all verbs: here are the manager's, in `Working` the worker's."""

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
            plan.id, op or operation(), clean(by), clean(reason), or_empty(plan.start), plan.after,
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
                "change_start", job_id, op or operation(), clean(by), clean(reason), or_empty(start),
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


def order(job_id: str, verb: str, by: str, reason: str, grace: float | None, op: str = "") -> tuple[Any, ...]:
    """What `ask` is given."""
    given = "" if grace is None else int(grace * 1000)
    return job_id, op or operation(), clean(by), clean(reason), steps(verb), given


def removal(job_id: str, by: str, reason: str, op: str = "") -> tuple[Any, ...]:
    """What `remove` is given."""
    given = (steps("remove"), PUBLISH_LEASE, State.QUEUED.value)
    return job_id, op or operation(), clean(by), clean(reason), *given

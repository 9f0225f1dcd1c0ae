"""The verbs of who runs jobs, each a guarded script: it claims a run, writes of it while it is at work, and ends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit.states import steps
from jobkit.store.graph import ACTIVE, BIRTHS, OVER, PUBLISH_LEASE, RELEASE, RELEASE_LATER, RESTART
from jobkit.store.namespace import Namespace, or_empty
from jobkit.store.values import Claim, End, Plan, Settled, Verdict, clean, operation

#: Bytes of log lines kept with a job.
LOG_BYTES = 32_768
#: What a claim is told of a job that has nothing to be told of.
_NO_MORE = (b"",) * 6


class Working(Namespace):
    """The worker's verbs."""

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
        run_time: float | None = None,
        facts: Mapping[str, str | int] | None = None,
        stubborn: bool = False,
    ) -> Claim:
        """Start a run: the first one is told `ok`, whoever comes later what became of it.

        `run` is None for a message from a client without jobkit; its record is then made from `plan`.  `run_time`
        is how many seconds it may take, `facts` fields of every claim; `digest` is that of the message, `unrecorded`
        whether one that no record knows is accepted; `stubborn` tries on for an hour while Redis cannot take it: a job
        that cannot begin has not failed.
        """
        common = [part for item in (facts or {}).items() for part in item]
        reply = self.run(
            "claim", job_id, token, clean(worker.partition("|")[0]), "", f"{or_empty(run)} {digest}",
            "r" * redelivered + "u" * unrecorded, worker, pid,
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
            or_empty(holder.run), holder.token, holder.worker, steps(*end.verbs), born, end.meta,
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
        reply = self.run("write", job_id, or_empty(holder.run), holder.token, holder.worker, ACTIVE, announce, *flat)
        return self.verdict(job_id, reply)

    def log(self, job_id: str, holder: Settled, number: int, level: str, text: str) -> Verdict:
        """Keep a line a running job logged; `number` counts the lines of the run."""
        args = (or_empty(holder.run), holder.token, number, clean(level, 20), clean(text, 2000), LOG_BYTES)
        return self.verdict(job_id, self.run("log", job_id, *args))

    def fence(self, job_id: str) -> int | None:
        """The fence of the locks a job holds; None if it holds none."""
        held: Any = self.call(lambda: self.client.hget(self.keys.job(job_id), "locked"))
        return int(held.split()[1]) if held else None

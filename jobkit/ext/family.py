"""What a running job starts for itself: children, a continuation, compensations."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature

from jobkit.errors import InvalidOption
from jobkit.ext import amqp, messages
from jobkit.locks import Lock, checked
from jobkit.running import RunningJob
from jobkit.states import State
from jobkit.store import Plan, families

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

_SPACE = uuid.UUID("6f1e6ab3-0d9c-5a61-9d52-30a7a2a8a5c1")
#: What a child that fails may mean for its parent.
FAILURES = ("fail", "ignore", "abort_siblings")


class Family:
    """The family of one run.

    Parameters: the app's `jobs`; the running `job`; its `request`, whose callbacks and chain wait for the children too.
    """

    def __init__(self, jobs: JobKit, job: RunningJob, request: dict[str, Any]) -> None:
        self._jobs, self._job, self._request = jobs, job, request
        self._seen: Counter[str] = Counter()

    def spawn(
        self, signatures: Sequence[Any], then: Any, failure: str, locks: Iterable[str | Lock], host: str
    ) -> tuple[Any, ...]:
        """See `RunningJob.spawn`."""
        if failure not in FAILURES:
            raise InvalidOption(option="spawn(failure)", value=failure, allowed=f"must be one of {', '.join(FAILURES)}")
        given = [_plain("spawn", signature) for signature in signatures]
        self._job.raise_if_should_finish()
        self._defer()
        if then is not None:
            # In the results' place, so that the task's own signature is checked now.
            following = _plain("spawn(then)", then)
            self._keep("then", following, messages.RESULTS_HEADER, () if following.immutable else (None,))
        holder = self._job.holder
        wish = amqp.Wish(
            self._job.owner, self._job.tags, locks=checked("locks", locks), host=host, up=self._job.id, upon=failure,
            fence=f"{holder.run} {holder.token}",
        )  # fmt: skip
        try:
            with amqp.wishing(wish), amqp.together(self._jobs.store):
                return tuple(sig.apply_async(task_id=self._name("child", sig)) for sig in given)
        except amqp.ToldToEnd as exc:
            self._job.stop.reason = State(exc.state)
            raise self._job.stop_exception(f"told to finish: {exc.state}") from exc

    def on_rollback(self, signature: Any) -> None:
        """See `RunningJob.on_rollback`."""
        self._keep("rollback", _plain("on_rollback", signature), messages.UNDO_HEADER)

    def _keep(self, kind: str, signature: Signature, header: str, first: tuple[None, ...] = ()) -> None:
        plans: list[Plan] = []
        with amqp.wishing(amqp.Wish(self._job.owner, self._job.tags, record=plans.append)):
            headers = {} if kind == "then" and not first else {header: self._job.id}
            signature.apply_async(first, task_id=self._name(kind, signature), headers=headers)
        families.keep(self._jobs.store, self._job.id, self._job.holder, kind, plans[0])

    def _name(self, kind: str, signature: Signature) -> str:
        """The id of a job by what it does: a run that does the same again finds what an earlier one left."""
        what = json.dumps([kind, signature.task, signature.args, signature.kwargs], sort_keys=True, default=repr)
        self._seen[what] += 1
        return str(uuid.uuid5(_SPACE, f"{self._job.id} {self._seen[what]} {what}"))

    def _defer(self) -> None:
        # Links, the chain and the chord go on when the job ends, and that is after its children.
        self._job.deferred = True
        for name in ("callbacks", "chain"):
            if self._request.get(name):
                self._request[name].clear()


def _plain(option: str, signature: Any) -> Signature:
    if not isinstance(signature, Signature) or signature.get("subtask_type"):
        kind = type(signature).__name__
        raise InvalidOption(option=option, value=kind, allowed="must be the signature of one task: task.s(…)")
    return signature

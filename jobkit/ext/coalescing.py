"""`jobs.coalesce`: many submissions of the same thing, by a key, become the runs that are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature

from jobkit.definitions import Answer, Queued
from jobkit.errors import InvalidOption
from jobkit.ext import amqp
from jobkit.store import Plan, Verdict
from jobkit.store.coalescing import coalesce
from jobkit.store.values import operation

if TYPE_CHECKING:
    from jobkit.store import JobStore

#: What may become of a submission whose key has a job that has not ended.
HOW = ("drop", "again", "replace", "debounce", "throttle")


class Coalescing:
    """Mixed into the client of an app."""

    if TYPE_CHECKING:
        store: JobStore
        _by: str

        def publish(self, verdict: Verdict) -> None:
            """See `JobKit`."""

    def coalesce(
        self,
        signature: Signature,
        key: str,
        how: str = "replace",
        *,
        wait: float = 0.0,
        max_wait: float | None = None,
        owner: str = "",
        tags: Iterable[str] = (),
        reason: str = "",
    ) -> Answer:
        """Submit a task by a key, which becomes its job's id, together with what of it waits or runs already.

        Parameters: `how`, where the key has a job that has not ended:

        * ``drop``: this submission is REFUSED;
        * ``again``: one that waits is left as it is, one that runs is run once more right after, with these arguments;
        * ``replace``: one that waits has these arguments from now on, one that runs is run once more with the newest;
        * ``debounce``: as ``replace``, and it starts once nobody has asked for `wait` seconds, at the latest `max_wait`
          after the first who asked;
        * ``throttle``: as ``replace``, and no two start within `wait` seconds.

        Raises: `InvalidOption`, and what `submit` raises for arguments that cannot be sent.
        """
        _check(how, wait, max_wait, signature)
        answers: list[tuple[Verdict, str]] = []
        op = operation()

        def record(plan: Plan) -> None:
            answers.append(coalesce(self.store, plan, how, wait, max_wait, self._by, reason, op))

        with amqp.wishing(amqp.Wish(owner=owner, tags=tuple(tags), record=record)):
            signature.apply_async(task_id=key, add_to_parent=False)
        if not answers:  # it was run here and now: task_always_eager
            return Answer(Queued.QUEUED, key)
        verdict, why = answers[0]
        self.publish(verdict)
        return Answer(Queued("joined" if verdict.code == "again" else verdict.code), key, why and f"it is {why}")

    async def acoalesce(self, *args: Any, **options: Any) -> Answer:
        """See `coalesce`."""
        return await asyncio.to_thread(self.coalesce, *args, **options)


def _check(how: str, wait: float, max_wait: float | None, signature: Any) -> None:
    if how not in HOW:
        raise InvalidOption(option="coalesce(how)", value=how, allowed=f"must be one of {', '.join(HOW)}")
    for name, value in (("wait", wait), ("max_wait", max_wait)):
        good = value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9)
        if not good or (name == "wait" and value == 0 and how in ("debounce", "throttle")):
            raise InvalidOption(option=f"coalesce({name})", value=value, allowed=f"must be seconds, for {how} above 0")
    if not isinstance(signature, Signature) or signature.get("subtask_type"):
        raise InvalidOption(
            option="coalesce", value=type(signature).__name__, allowed="must be a signature of one task"
        )

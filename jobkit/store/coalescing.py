"""What the scripts that coalesce runs are given of the graph, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.states import Category, State, states, steps
from jobkit.store.graph import BIRTHS, OVER, PUBLISH_LEASE
from jobkit.store.jobs import JobStore
from jobkit.store.keys import checked_id
from jobkit.store.values import Plan, Verdict, clean

_UNSTARTED = ",".join((*states(Category.WAITING_TO_START), State.QUEUED))

#: The terms of `lua/_launch.lua`.
TERMS: tuple[str | int, ...] = (
    BIRTHS, OVER, State.WAITING_FOR_START.value, State.SUSPENDED.value, _UNSTARTED, steps("change_start"),
    steps("enqueue"), PUBLISH_LEASE,
)  # fmt: skip


def coalesce(
    store: JobStore, plan: Plan, how: str, wait: float, most: float | None, by: str, reason: str, op: str
) -> tuple[Verdict, str]:
    """Submit a job by a key, its id: drop | again | replace | debounce | throttle, see `lua/coalesce.lua`; seconds."""
    limit = "" if most is None else round(most * 1000)
    head = (checked_id(plan.id), op, clean(by), clean(reason), how, round(wait * 1000), limit)
    sure = store.submitted(plan.id)
    return verdict(store.run("coalesce", *head, *TERMS, steps("replace"), *plan.fields(), sure=sure))


def verdict(reply: Sequence[Any]) -> tuple[Verdict, str]:
    """A script's answer: the verdict, with the messages to be published, and why it was refused."""
    code, state, run, *rest = [part.decode() if isinstance(part, bytes) else part for part in reply]
    if code == "refused":
        return Verdict(code, state, int(run)), rest[0]
    owed = tuple(zip(rest[::3], map(int, rest[1::3]), rest[2::3], strict=True))
    return Verdict(code, state, int(run), owed), ""

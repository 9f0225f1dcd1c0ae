"""What the scripts that coalesce runs are given of the graph, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.states import Category, State, states, steps
from jobkit.store.graph import PUBLISH_LEASE
from jobkit.store.jobs import BIRTHS, OVER, Verdict

_UNSTARTED = ",".join((*states(Category.WAITING_TO_START), State.QUEUED))

#: The terms of `lua/_coalesce.lua`.
TERMS: tuple[str | int, ...] = (
    BIRTHS, OVER, State.WAITING_FOR_START.value, State.SUSPENDED.value, _UNSTARTED, steps("change_start"),
    steps("enqueue"), PUBLISH_LEASE,
)  # fmt: skip


def verdict(reply: Sequence[Any]) -> tuple[Verdict, str]:
    """A script's answer: the verdict, with the messages to be published, and why it was refused."""
    code, state, run, *rest = [part.decode() if isinstance(part, bytes) else part for part in reply]
    if code == "refused":
        return Verdict(code, state, int(run)), rest[0]
    owed = tuple(zip(rest[::3], map(int, rest[1::3]), rest[2::3], strict=True))
    return Verdict(code, state, int(run), owed), ""

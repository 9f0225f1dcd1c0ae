"""Places where a process dies, with all of its group, as if the power had failed at that very moment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from jobkit.ext.app import JobKit
from jobkit.store import JobStore, workers
from tests.chaos.evidence import HOOK, Evidence


def die() -> None:
    """End this process and its whole group."""
    os.killpg(os.getpgrp(), signal.SIGKILL)
    time.sleep(60)  # until it has arrived


def before(owner: Any, name: str, when: Callable[..., Any] = lambda *args, **options: True) -> None:
    """Die where this would be called with arguments of that kind."""
    original = getattr(owner, name)

    def dying(*args: Any, **options: Any) -> Any:
        if when(*args, **options):
            die()
        return original(*args, **options)

    setattr(owner, name, dying)


def after(owner: Any, name: str, when: Callable[[Any], Any] = lambda answer: True) -> None:
    """Die where this has been called and has answered so."""
    original = getattr(owner, name)

    def dying(*args: Any, **options: Any) -> Any:
        answer = original(*args, **options)
        if when(answer):
            die()
        return answer

    setattr(owner, name, dying)


def _in_the_hook() -> None:
    original = Evidence.note

    def dying(self: Evidence, what: str, *args: Any, **options: Any) -> float:
        at = original(self, what, *args, **options)
        if what == HOOK:
            die()
        return at

    Evidence.note = dying  # type: ignore[method-assign]


#: Every place, by its name.
POINTS: dict[str, Callable[[], None]] = {
    # who submits
    "recorded": partial(after, JobStore, "create"),
    # who runs
    "received": partial(before, JobStore, "claim"),
    "claimed": partial(after, JobStore, "claim"),
    "saving": partial(before, JobStore, "write"),
    "saved": partial(after, JobStore, "write"),
    "retry planned": partial(after, JobStore, "create"),
    "body over": partial(before, JobStore, "finish"),
    "finished": partial(after, JobStore, "finish"),
    "may tell": partial(after, JobStore, "tell"),
    "in the hook": _in_the_hook,
    "told": partial(before, JobStore, "told"),
    # who keeps
    "taken": partial(after, JobStore, "take", lambda answer: answer[1]),
    "published": partial(before, JobStore, "published", lambda store, ids: ids),
    "rescued": partial(after, workers, "rescue", lambda answer: answer),
    "settled": partial(before, JobKit, "publish", lambda jobs, verdict: verdict.publish),
}


def arm(name: str) -> None:
    """Have this process, and those it forks, die there."""
    POINTS[name]()

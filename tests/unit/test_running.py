"""Which run a body takes for its own."""

from __future__ import annotations

import threading
from typing import Any, cast

from jobkit import running
from jobkit.store import Settled


def test_a_run_that_was_lost_and_the_next_one_share_a_process() -> None:
    first = running.begin("j", "task", cast(Any, None), Settled(1, "old", "w"), cast(Any, None))
    seen: list[Any] = []

    def next_run() -> None:
        second = running.begin("j", "task", cast(Any, None), Settled(2, "new", "w"), cast(Any, None))
        seen.extend([running.find("j"), running.current("j", "task"), second])
        running.leave(second)

    other = threading.Thread(target=next_run)
    other.start()
    other.join()
    assert seen[0] is seen[1] is seen[2] is not first
    assert running.find("j") is first  # what it writes carries its own token, and is refused
    running.leave(first)
    assert running.find("j") is None


def test_a_thread_of_its_own_finds_the_run_of_its_process() -> None:
    job = running.begin("j", "task", cast(Any, None), Settled(1, "old", "w"), cast(Any, None))
    seen: list[Any] = []
    other = threading.Thread(target=lambda: seen.append(running.find("j")))
    other.start()
    other.join()
    assert seen == [job]
    running.leave(job)

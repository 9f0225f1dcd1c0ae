"""The clock of Redis jumps (C1, C2): shown with the test build of the scripts, whose clock is a key."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobkit.states import State
from jobkit.testing import eventually
from tests.chaos.evidence import START
from tests.chaos.nursery import Nursery
from tests.chaos.size import only_full
from tests.chaos.stage import Stage, staged

S = State


class Clock(threading.Thread):
    """The time of Redis, and what is added to it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(daemon=True)
        self.stage, self.offset, self.over = stage, 0.0, threading.Event()
        self.tick()

    def run(self) -> None:
        while not self.over.wait(0.01):
            self.tick()

    def tick(self) -> None:
        now = int((time.time() + self.offset) * 1000)
        self.stage.redis.set(self.stage.jobs.store.keys.key("clock"), now)


@contextmanager
def clocked(folder: Path, nursery: Nursery) -> Iterator[tuple[Stage, Clock]]:
    """A stage whose Redis has a clock that can be set."""
    with staged(folder, nursery=nursery, test_clock=True) as stage:
        clock = Clock(stage)
        clock.start()
        try:
            yield stage, clock
        finally:
            clock.over.set()
            clock.join()


@pytest.mark.parametrize("jump", [3600.0, *only_full([60.0, -3600.0])])
def test_c1_nobody_is_taken_for_dead_by_a_jump(tmp_path: Path, nursery: Nursery, jump: float) -> None:
    with clocked(tmp_path, nursery) as (stage, clock):
        for _ in range(2):
            stage.start()
        handles = [stage.submit("steps", 40, 0.1) for _ in range(4)]
        stage.started(*handles)
        time.sleep(1.5)  # everybody has seen the time go by in order
        clock.offset = jump
        stage.all_end(30)
        assert [handle.job.run for handle in handles] == [1] * 4
        assert all(handle.job.state is S.FINISHED for handle in handles)
        assert any("the clock of Redis jumped" in worker.log for worker in stage.workers)


def test_c2_who_died_before_the_clock_went_back_is_found_all_the_same(tmp_path: Path, nursery: Nursery) -> None:
    with clocked(tmp_path, nursery) as (stage, clock):
        doomed, _ = stage.start(), stage.start(arguments=["--queues=other"])
        handles = [stage.submit("steps", 20, 0.1) for _ in range(2)]
        stage.started(*handles)
        time.sleep(1.5)  # everybody has seen the time go by in order
        gone = doomed.kill_all()
        clock.offset = -3600.0
        eventually(lambda: all(handle.job.run == 2 for handle in handles), 2 * 2.0 + 3 + 10)
        print("declared after:", time.monotonic() - gone)
        stage.start()
        stage.all_end(30)
        assert [len(stage.evidence.of(handle.id, START)) for handle in handles] == [2, 2]

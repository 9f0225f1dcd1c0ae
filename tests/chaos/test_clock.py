"""The clock of Redis jumps (C1, C2): shown with the test build of the scripts, whose clock is a key.

The clocks of workers are wrong (C3): shown with processes to which the system tells another time.
"""

from __future__ import annotations

import shutil
import subprocess
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
from tests.chaos.stage import ROOT, Stage, staged

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
    with staged(folder, {"jobkit_retention": 86400.0}, nursery=nursery, test_clock=True) as stage:
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
            stage.start(concurrency=4)  # whoever gets them, all of them run at once
        handles = [stage.submit("steps", 40, 0.1) for _ in range(3)]
        handles.append(stage.submit("bounded", 4.0))
        stage.started(*handles)
        time.sleep(1.5)  # everybody has seen the time go by in order
        clock.offset = jump
        stage.all_end(30)
        assert [handle.job.run for handle in handles] == [1] * 4
        assert all(handle.job.state is S.FINISHED for handle in handles)
        eventually(lambda: any("the clock of Redis jumped" in worker.log for worker in stage.workers))


def test_c2_who_died_before_the_clock_went_back_is_found_all_the_same(tmp_path: Path, nursery: Nursery) -> None:
    with clocked(tmp_path, nursery) as (stage, clock):
        doomed, _ = stage.start(), stage.start(arguments=["--queues=other"])
        handles = [stage.submit("steps", 40, 0.1) for _ in range(2)]
        stage.started(*handles)
        time.sleep(1.5)  # everybody has seen the time go by in order
        gone = doomed.kill_all()
        clock.offset = -3600.0
        eventually(lambda: all(handle.job.run == 2 for handle in handles), 2 * 2.0 + 3 + 10)
        print("declared after:", time.monotonic() - gone)
        stage.start()
        stage.all_end(30)
        assert [len(stage.evidence.of(handle.id, START)) for handle in handles] == [2, 2]


#: What a process is told that asks for the time: an hour more, or less.
LIES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static int (*ask)(clockid_t, struct timespec *);
int clock_gettime(clockid_t clock, struct timespec *time) {
    if (!ask) ask = dlsym(RTLD_NEXT, "clock_gettime");
    int answer = ask(clock, time);
    if (clock == CLOCK_REALTIME && getenv("LATER")) time->tv_sec += atol(getenv("LATER"));
    return answer;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


@pytest.fixture
def liars(tmp_path: Path) -> Iterator[list[Nursery]]:
    """Two nurseries: in one it is an hour later, in the other an hour earlier."""
    if not shutil.which("cc"):
        pytest.skip("to tell a process another time takes a C compiler")
    library = tmp_path / "lies.so"
    command = ["cc", "-shared", "-fPIC", "-o", str(library), "-xc", "-", "-ldl"]
    subprocess.run(command, input=LIES.encode(), check=True)
    found = [Nursery(ROOT, {"LD_PRELOAD": str(library), "LATER": seconds}) for seconds in ("3600", "-3600")]
    yield found
    for nursery in found:
        nursery.close()


def test_c3_workers_whose_clocks_are_wrong_start_in_time(stage: Stage, liars: list[Nursery]) -> None:
    for nursery in liars:
        stage.nursery = nursery
        stage.start()
    apart = {line[1:20] for worker in stage.workers for line in worker.log.splitlines() if " ready." in line}
    assert len(apart) == 2, apart  # they believe that it is another time
    due = time.time() + 2.0
    handles = [stage.submit("plain", 0.1, countdown=2.0) for _ in range(4)]
    handles += [stage.submit("retries", 1, 0.1), stage.submit("limited", 20), stage.submit("steps", 5, 0.1)]
    assert stage.judge() == []
    late = [stage.evidence.of(handle.id, START)[0].at + stage.judged.offset - due for handle in handles[:4]]
    print("started after it was due:", sorted(late))
    assert min(late) > -0.1
    assert max(late) < 10
    assert [handle.job.state for handle in handles[4:]] == [S.FINISHED, S.TIMEOUT, S.FINISHED]
    assert {line.worker for line in stage.evidence.lines(START)} == {worker.name for worker in stage.workers}

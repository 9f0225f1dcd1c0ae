"""S6: the disk of the Redis is full: nothing can be recorded, nothing that was done is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jobkit import StoreRefused
from jobkit.states import State
from jobkit.testing import eventually
from tests.chaos.evidence import END, START
from tests.chaos.nursery import Nursery
from tests.chaos.size import size
from tests.chaos.stage import Stage, staged

S = State
MEGABYTES = 3


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "none", str(place)], check=False)
    if done.returncode:
        pytest.skip("a disk of its own can only be mounted by root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(path: Path) -> None:
    """Write until there is no room for a page."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_what_cannot_begin_while_redis_takes_no_writes_has_not_failed(stage: Stage) -> None:
    worker = stage.start()
    pool = worker.children
    for pid in pool:
        os.kill(pid, signal.SIGSTOP)
    handles = [stage.submit("plain", 0.01) for _ in range(2)]
    eventually(lambda: worker.log.count("received") == 2)
    stage.redis.config_set("min-replicas-to-write", 1)
    for pid in pool:
        os.kill(pid, signal.SIGCONT)
    # The other way: the worker takes back what its slow child had not begun to read, and cannot give that back now.
    said = ("the start of job {} cannot be recorded now", "the message of job {} is not back in its queue")
    eventually(lambda: all(any(text.format(one.id) in worker.log for text in said) for one in handles))
    stage.redis.config_set("min-replicas-to-write", 0)
    assert [handle.get(timeout=20) for handle in handles] == [1, 1]
    assert stage.judge(ignore=["nothing_is_unexpected"]) == []


def test_s6_the_disk_is_full(tmp_path: Path, nursery: Nursery, disk: Path) -> None:
    with staged(tmp_path, nursery=nursery, extra=("--dir", str(disk))) as stage:
        workers = [stage.start(concurrency=4) for _ in range(2)]  # whoever gets them, all of them run at once
        ending = [stage.submit("plain", 1.5) for _ in range(4)]
        waiting = [stage.submit("plain", 0.05) for _ in range(size(6, 100))]
        began = stage.started(*ending)
        fill(filler := disk / "filler")
        with pytest.raises(StoreRefused, match="MISCONF"):
            eventually(lambda: stage.app.tasks["plain"].delay(0.05) and None, 30)
        eventually(lambda: len([1 for line in began if stage.evidence.of(line.job, END)]) == 4, 20)
        time.sleep(size(0.5, 20))  # the fault lasts
        filler.unlink()
        since = time.monotonic()
        eventually(lambda: all(handle.job.state is S.FINISHED for handle in ending), 30)
        print("ends recorded after there was room:", time.monotonic() - since)
        eventually(lambda: all(handle.job.state is S.FINISHED for handle in waiting), 30)
        assert all(worker.alive for worker in workers)
        assert stage.judge(ignore=["nothing_is_unexpected"]) == []
        assert [len(stage.evidence.of(handle.id, START)) for handle in ending + waiting] == [1] * len(ending + waiting)

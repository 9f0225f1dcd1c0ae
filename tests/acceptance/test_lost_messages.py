"""A queued job whose message is gone is published again, once, and only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from jobkit import State
from jobkit.testing import WorkerProcess, eventually
from tests.brokers import waiting

Start = Callable[..., WorkerProcess]


def bodies(notes: Path, *handles: object) -> list[int]:
    text = notes.read_text()
    return [text.count(f"body {handle.id} ") for handle in handles]  # type: ignore[attr-defined]


def test_a_message_that_vanished_from_the_broker(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    lost = [lifecycle.add.delay(n, n) for n in range(3)]
    assert len(waiting(lifecycle.app, keep=False)) == 3
    worker = start_worker()
    assert [handle.get(timeout=30) for handle in lost] == [0, 2, 4]
    assert bodies(notes, *lost) == [1, 1, 1]
    assert worker.log.count("is lost: it is published again") == 3


def test_a_message_that_was_overtaken(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    worker = start_worker(concurrency=1)
    busy = lifecycle.hangs.delay(4)
    eventually(lambda: busy.job.state is State.RUNNING)
    reserved = lifecycle.hangs.delay(0.5)
    eventually(lambda: f"{reserved.id}] received" in worker.log)
    lost = lifecycle.add.delay(1, 1)
    assert len(waiting(lifecycle.app, keep=False)) == 1
    rest = [lifecycle.hangs.delay(0.5) for _ in range(30)]
    eventually(lambda: f"{lost.id} is lost" in worker.log, 20)
    assert any(handle.job.state is State.QUEUED for handle in rest)
    assert lost.get(timeout=40) == 2
    assert bodies(notes, lost) == [1]


def test_messages_a_dead_worker_had_reserved(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    doomed = start_worker(concurrency=1, arguments=["--prefetch-multiplier=8"])
    blocker = lifecycle.at_most_once.delay(60)
    eventually(lambda: blocker.job.state is State.RUNNING)
    reserved = [lifecycle.add.delay(n, n) for n in range(5)]
    eventually(lambda: doomed.log.count("received") == 6)
    start_worker()
    doomed.kill()
    assert [handle.get(timeout=30) for handle in reserved] == [0, 2, 4, 6, 8]
    assert bodies(notes, *reserved) == [1] * 5


def test_a_message_that_waits_is_not_lost(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    worker = start_worker(concurrency=1, arguments=["--prefetch-multiplier=4"])
    handles = [lifecycle.hangs.delay(0.5) for _ in range(16)]
    assert [handle.get(timeout=30) for handle in handles] == ["done"] * 16
    assert "lost" not in worker.log
    assert bodies(notes, *handles) == [1] * 16

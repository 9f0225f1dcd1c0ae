"""The Redis is killed, loses its last second or everything, is paused, busy or forgets (S1-S3, S7-S10)."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis
from redis.exceptions import RedisError

from jobkit import StoreError
from jobkit.states import State
from jobkit.testing import eventually
from tests.brokers import kind, waiting
from tests.chaos.evidence import ACCEPTED, END, GONE, START, STORE_UP
from tests.chaos.figures import back, spread
from tests.chaos.nursery import Nursery
from tests.chaos.size import only_full, size
from tests.chaos.stage import Stage, staged
from tests.chaos.storm import Weather, blow

S = State


def test_s1_redis_is_killed_again_and_again(tmp_path: Path) -> None:
    result = blow(
        tmp_path, Weather(jobs=size(50, 2000), workers=2, restarts=size(2, 20), seconds=size(60, 600), faults=())
    )
    assert result.findings == []
    assert not any(step.target is S.ABORTED for record in result.case.records.values() for step in record.path)
    assert result.case.of(GONE) == []  # no worker ended because its connection was lost
    again = back(result.case)
    print("Redis back to the next start, by worker:", spread(again))
    assert len(again) >= size(3, 30)


def test_s2_a_power_cut_takes_the_last_second(stage: Stage) -> None:
    for _ in range(2):
        stage.start()
    stop = threading.Event()
    clients = threading.Thread(target=submit_until, args=(stage, stop))
    clients.start()
    [log] = (stage.server.directory / "appendonlydir").glob("*.incr.aof")
    cuts = []
    for _ in range(size(1, 50)):
        time.sleep(1.5)  # something has to be under way
        kept, since = log.stat().st_size, time.monotonic()
        time.sleep(0.6)  # what is lost
        stage.server.kill()
        os.truncate(log, kept)
        stage.server.restart()
        cuts.append((since, stage.evidence.note(STORE_UP)))
    stop.set()
    clients.join(20)
    stage.all_end(40)
    # Bodies run twice: nobody remembers the first time.  What they leave behind counts once.
    physical = ("every_run_starts_once", "bodies_do_not_overlap", "hooks_are_called_once")
    findings = stage.judge(60, ignore=(*physical, "no_write_of_an_old_run_is_accepted"))
    lost = {finding.job for finding in findings if finding.rule == "nothing_is_lost"}
    assert [finding for finding in findings if finding.job not in lost] == []
    times = {line.job: line.at for line in stage.evidence.lines(ACCEPTED)}
    assert all(any(since <= times[job] + 0.1 and times[job] <= until for since, until in cuts) for job in lost)
    print("accepted:", len(times), "lost with the last second:", len(lost))


def submit_until(stage: Stage, stop: threading.Event) -> None:
    while not stop.is_set():
        with suppress(StoreError):  # of `counts`: Redis may be away for longer than a client waits
            if stage.jobs.counts().get(S.QUEUED, 0) < 6:
                stage.submit("steps", 5, 0.05)
                stage.submit("plain", 0.1)
        time.sleep(0.02)


def test_s3_redis_comes_back_empty(tmp_path: Path, nursery: Nursery) -> None:
    with staged(tmp_path, appendonly=False, nursery=nursery) as stage:
        workers = [stage.start(concurrency=4) for _ in range(2)]  # whoever gets them, all of them run at once
        lost = [stage.submit("looks", 3.0) for _ in range(2)] + [stage.submit("steps", 30, 0.1) for _ in range(2)]
        stage.started(*lost)
        stage.server.kill()
        stage.server.restart()
        handles = [stage.submit("plain", 0.1) for _ in range(10)]
        assert [handle.get(timeout=20) for handle in handles] == [1] * 10
        assert all(worker.alive for worker in workers)
        eventually(lambda: len([1 for job in lost if stage.evidence.of(job.id, END)]) == 4, 20)
        eventually(lambda: all("Redis has lost everything" in worker.log for worker in workers))
        # What has ended is recorded anew, loudly; before its end a run whose record has gone cannot write any more.
        assert [handle.get(timeout=20) for handle in lost[:2]] == [1, 1]
        assert [(handle.job.state, handle.job.task) for handle in lost[:2]] == [(S.FINISHED, "looks")] * 2
        said = "".join(worker.log for worker in workers)
        assert all(f"lost the record of job {handle.id}" in said for handle in lost[:2])
        assert all(f"the end of job {handle.id} (FAILED) was refused" in said for handle in lost[2:])
        assert all(line.more["how"] != "returned" for job in lost[2:] for line in stage.evidence.of(job.id, END))


PAUSES: dict[str, Callable[[Stage, float], None]] = {
    "it is told to pause writes": lambda stage, seconds: pause(stage, seconds, "WRITE"),
    "its process is stopped": lambda stage, seconds: stop_process(stage, seconds),
    "it is told to pause all": lambda stage, seconds: pause(stage, seconds, "ALL"),
    "a script of somebody else spins": lambda stage, seconds: spin(stage, seconds),
}


def stop_process(stage: Stage, seconds: float) -> None:
    os.kill(stage.server.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(stage.server.pid, signal.SIGCONT)


def pause(stage: Stage, seconds: float, what: str) -> None:
    stage.redis.execute_command("CLIENT", "PAUSE", int(seconds * 1000), what)
    time.sleep(seconds)


def spin(stage: Stage, seconds: float) -> None:
    stage.redis.config_set("lua-time-limit", 100)
    with Redis.from_url(stage.server.url) as client:
        spinning = threading.Thread(target=lambda: swallow(lambda: client.eval("while true do end", 0)))
        spinning.start()
        time.sleep(seconds)
        with Redis.from_url(stage.server.url) as killer:
            killer.script_kill()
        spinning.join(10)


def swallow(call: Callable[[], object]) -> None:
    try:
        call()
    except RedisError:
        return


@pytest.mark.parametrize("how", [*list(PAUSES)[:1], *only_full(list(PAUSES)[1:])])
def test_s7_s8_redis_is_slow_and_nobody_is_taken_for_dead(stage: Stage, how: str) -> None:
    for _ in range(2):
        stage.start()
    handles = [stage.submit("steps", size(40, 120), 0.1) for _ in range(4)]
    stage.started(*handles)
    for seconds in size((3.0,), (0.1, 0.3, 1.5, 2.5, 4.0)):
        PAUSES[how](stage, seconds)
        time.sleep(0.5)  # between two pauses
    assert stage.judge(40) == []
    assert [handle.job.run for handle in handles] == [1] * 4


def test_s9_redis_forgets_every_script(stage: Stage) -> None:
    for _ in range(2):
        stage.start()
    handles = [stage.submit("plain", 0.02) for _ in range(size(50, 1000))]
    while stage.live():
        stage.redis.script_flush()
        time.sleep(0.1)
    assert [handle.get(timeout=5) for handle in handles] == [1] * len(handles)
    assert stage.judge() == []
    again = "Redis error, will retry\nTraceback"  # kombu's own script, which it sends anew
    assert not any("Traceback" in worker.log.replace(again, "") for worker in stage.workers)


def lose_one(stage: Stage, chance: random.Random) -> None:
    """One of the messages that wait is gone."""
    if kind() == "rabbitmq":
        with stage.app.producer_or_acquire() as producer:
            producer.channel.basic_get("celery", no_ack=True)
    elif found := cast(Any, stage.broker.lrange("celery", 0, -1)):
        stage.broker.lrem("celery", 1, chance.choice(found))


def test_s10_messages_and_leases_are_deleted(stage: Stage) -> None:
    workers = [stage.start() for _ in range(2)]
    handles = [stage.submit("plain", 0.2) for _ in range(size(30, 200))]
    chance = random.Random(10)
    for _ in range(10):
        lose_one(stage, chance)
    stage.broker.flushdb()
    waiting(stage.app, keep=False)
    stage.redis.delete(stage.jobs.store.keys.key("workers"))
    began = time.monotonic()
    stage.all_end(60)
    print("found and run after:", time.monotonic() - began)
    assert all(worker.alive for worker in workers)
    assert stage.judge() == []
    assert [len(stage.evidence.of(handle.id, START)) for handle in handles] == [1] * len(handles)

"""Definitions with real beats and workers: every slot fires once, whatever is killed; no trigger is lost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from jobkit import Outcome
from jobkit.embedded import EmbeddedRedis
from jobkit.states import State
from jobkit.testing import eventually
from tests.acceptance.apps import ROOT
from tests.acceptance.beats import BEAT, WORKER, Stage, stage, storm

UTC = timezone.utc
TASKS = "tests.acceptance.beats_app"
#: Seconds the storm lasts here; `python -m tests.acceptance.beats` has its full size.
STORM = 20
#: A client of its own: waits for the signal, then asks so often.
CLIENT = """
import sys
from tests.acceptance.beats_app import book, jobs
jobs.definitions.get("held")
book.rpush("ready", 1)
book.blpop(["start"], timeout=30)
verdicts = [jobs.definitions.queue_now("held")[0].verdict.value for _ in range(int(sys.argv[1]))]
print(*verdicts)
jobs.close()
book.close()
"""


@pytest.fixture
def open_stage(jobkit_store_url: str, tmp_path: Path) -> Iterator[Stage]:
    with stage(jobkit_store_url, tmp_path) as opened:
        yield opened


@pytest.mark.slow
def test_every_slot_fires_once_while_beats_and_workers_are_killed_and_frozen(open_stage: Stage) -> None:
    report = storm(open_stage, STORM)
    print(report)
    assert report.slots >= 500
    assert not report.lost, report
    assert not report.doubled, report
    assert not report.strange, report
    assert not report.unrun, report
    assert report.edits >= 20


def test_all_beats_down_over_three_slots(open_stage: Stage) -> None:
    definitions = open_stage.m.jobs.definitions
    now = datetime.now(UTC)
    times = [now + timedelta(seconds=second) for second in (1, 2, 3)]
    for misfire in ("SKIP", "ONCE", "ALL"):
        definitions.create(misfire, task=f"{TASKS}.fire", schedule=times, misfire=misfire, grace=0.5)
    worker = open_stage.start(*WORKER)
    worker.process.wait_ready()
    eventually(lambda: datetime.now(UTC) > times[-1] + timedelta(seconds=1))
    open_stage.start(*BEAT)
    eventually(lambda: not any(one.status.next_at for one in definitions.query()), 30, "slots are left over")
    eventually(lambda: len(definitions.history("ALL")) == 3, message="the three have not run")
    runs = {name: len(definitions.history(name)) for name in ("SKIP", "ONCE", "ALL")}
    assert runs == {"SKIP": 0, "ONCE": 1, "ALL": 3}
    assert {one.id: one.status.missed for one in definitions.query()} == {"SKIP": 3, "ONCE": 2, "ALL": 0}


def clients(open_stage: Stage, count: int, calls: int) -> list[str]:
    """So many processes that ask at once, each so often; returns what they were answered."""
    command = [sys.executable, "-c", CLIENT, str(calls)]
    started = [
        subprocess.Popen(
            command, cwd=ROOT, env={**open_stage.environment, "PATH": "", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(count)
    ]  # fmt: skip
    for _ in started:
        assert open_stage.m.book.blpop(["ready"], timeout=30)
    open_stage.m.book.rpush("start", *range(count))
    answers = [client.communicate(timeout=60)[0].split() for client in started]
    assert [client.returncode for client in started] == count * [0]
    return [verdict for answer in answers for verdict in answer]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True], ids=["", "and its worker is killed"])
def test_a_thousand_calls_while_it_runs_make_one_further_run_with_the_newest_data(
    open_stage: Stage, killed: bool
) -> None:
    m, definitions = open_stage.m, open_stage.m.jobs.definitions
    definitions.create("held", task=f"{TASKS}.hold", data={"n": 1})
    worker = open_stage.start(*WORKER)
    worker.process.wait_ready()
    definitions.queue_now("held")
    eventually(lambda: m.book.llen("held") == 1)
    began = time.monotonic()
    verdicts = clients(open_stage, 4, 250)
    print(f"1,000 calls of 4 processes took {time.monotonic() - began:.2f} s with their answers")
    assert sorted(verdicts) == [*999 * ["joined"], "requeued"]
    definitions.change("held", lambda one: replace(one, data={"n": 2}))
    m.book.rpush("go:2", "go")
    if killed:
        worker.kill()
    else:
        m.book.rpush("go:1", "go")
    eventually(lambda: len(definitions.history("held")) == 2, 30, "it has not run again")
    assert [line.decode() for line in m.book.lrange("held", 0, -1)] == ["1 1", "2 2"]
    job = m.jobs.get("@held")
    assert (job.state, job.run, job.result) == (State.FINISHED, 2, 2)
    last = [step.target for step in m.jobs.history("@held") if step.run == 1][-1]
    assert last is (State.ABORTED_RESTART if killed else State.RESCHEDULED)


def test_a_backup_runs_once_when_the_trigger_was_lost_and_never_when_it_was_not(
    open_stage: Stage,
) -> None:
    definitions, every = open_stage.m.jobs.definitions, 2.5
    open_stage.start(*BEAT)
    worker = open_stage.start(*WORKER)
    worker.process.wait_ready()
    for name in ("triggered", "lost"):
        definitions.create(name, task=f"{TASKS}.fire", backup_every=every)

    def the_lost_was_seen_to() -> bool:
        definitions.queue_now("triggered")
        return len(definitions.history("lost")) == 1

    eventually(the_lost_was_seen_to)
    backups = {one.id: one.status.backups for one in definitions.query()}
    assert backups == {"triggered": 0, "lost": 1}
    assert [one.source for one in definitions.history("lost")] == ["backup"]
    assert {one.source[:6] for one in definitions.history("triggered")} == {"queued"}


@pytest.mark.slow
def test_work_whose_trigger_was_lost_is_seen_soon(open_stage: Stage) -> None:
    """Events, three in ten of which are not followed by their trigger; the backup sees to those."""
    definitions, every, chance = open_stage.m.jobs.definitions, 3.0, random.Random(3)
    open_stage.start(*BEAT)
    worker = open_stage.start(*WORKER)
    worker.process.wait_ready()
    names = [f"event{n}" for n in range(15)]
    for name in names:
        definitions.create(name, task=f"{TASKS}.fire", backup_every=every)
    events: list[tuple[str, datetime]] = []
    end = time.monotonic() + 8
    while time.monotonic() < end:
        name = chance.choice(names)
        events.append((name, datetime.now(UTC)))
        if chance.random() > 0.3:
            definitions.queue_now(name)
        time.sleep(0.1)
    eventually(lambda: datetime.now(UTC) > events[-1][1] + timedelta(seconds=every + 2))
    history = definitions.history(limit=10_000)
    for name, at in events:
        seen = min(one.started_at for one in history if one.definition == name and one.started_at > at)
        assert seen - at < timedelta(seconds=every + 2), (name, at, seen)
    for one in history:
        if one.source == "backup":
            before = [
                it.started_at for it in history if it.definition == one.definition and it.started_at < one.queued_at
            ]
            assert not before or one.queued_at - max(before) >= timedelta(seconds=every - 0.01), "it was not needed"


def test_a_deployment_without_beat_runs_by_its_workers(jobkit_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with stage(jobkit_redis.fresh_url(), tmp_path, BEATS_IN_WORKER="1") as opened:
        for _ in range(2):
            opened.start(*WORKER).process.wait_ready()
        when = [datetime.now(UTC) + timedelta(seconds=second) for second in (1, 2)]
        opened.m.jobs.definitions.create("d", task=f"{TASKS}.fire", schedule=when)
        eventually(lambda: len(opened.m.jobs.definitions.history("d", Outcome.SUCCEEDED)) == 2, 20)
        assert opened.fired == {"@d": 2}

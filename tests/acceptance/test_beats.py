"""Definitions with real beats and workers: every slot fires once, whatever is killed; no trigger is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from jobkit import Outcome
from jobkit.embedded import EmbeddedRedis
from jobkit.testing import eventually
from tests.acceptance.beat_stage import BEAT, WORKER, Stage, stage
from tests.acceptance.beats import storm
from tests.acceptance.triggers import lost_triggers, wishes

UTC = timezone.utc
TASKS = "tests.acceptance.beats_app"
#: Seconds the storm lasts here; `python -m tests.acceptance.beats` has its full size.
STORM = 20


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


@pytest.mark.slow
def test_a_thousand_calls_while_it_runs_make_one_further_run_with_the_newest_data(open_stage: Stage) -> None:
    print(wishes(open_stage, rounds=4, clients=4, calls=1000, kill_every=2))


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
    print(lost_triggers(open_stage, definitions=15, every=3.0, seconds=8))


def test_a_deployment_without_beat_runs_by_its_workers(jobkit_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with stage(jobkit_redis.fresh_url(), tmp_path, BEATS_IN_WORKER="1") as opened:
        for _ in range(2):
            opened.start(*WORKER).process.wait_ready()
        when = [datetime.now(UTC) + timedelta(seconds=second) for second in (1, 2)]
        opened.m.jobs.definitions.create("d", task=f"{TASKS}.fire", schedule=when)
        eventually(lambda: len(opened.m.jobs.definitions.history("d", Outcome.SUCCEEDED)) == 2, 20)
        assert opened.fired == {"@d": 2}

"""`jobs.definitions` over an app in this process: what is stored, what is queued, what code declares."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from importlib.metadata import EntryPoint
from itertools import pairwise
from typing import Any

import pytest
import time_machine
from celery import Celery
from celery.schedules import crontab
from celery.schedules import schedule as celery_schedule

from jobkit import (
    BadRecord,
    DefinitionConflict,
    DefinitionUnknown,
    Enabled,
    InvalidOption,
    JobKit,
    JobUnknown,
    Queued,
    schedule,
)
from jobkit.ext import declaring
from jobkit.ext.beat import BeatOf, Scheduler
from jobkit.states import FiveState, State
from jobkit.store import Plan, definitions, history
from jobkit.testing import eventually
from tests.brokers import waiting

UTC = timezone.utc


def status(jobs: JobKit, name: str) -> Any:
    """How a definition stands."""
    return jobs.definitions.get(name).status


@pytest.fixture
def nightly(jobs: JobKit, add: Any) -> Any:
    return jobs.definitions.create("nightly", task=add, schedule=crontab(hour=3, minute=0), data={"a": 1, "b": 2})


def test_a_schedule_without_a_zone_is_in_the_apps(app: Celery, jobs: JobKit, add: Any) -> None:
    app.conf.timezone = "Europe/Berlin"
    made = jobs.definitions.create(task=add, schedule=[crontab(hour=3, minute=0), schedule(60, timezone="Asia/Tokyo")])
    assert [one.timezone for one in made.schedules] == ["Europe/Berlin", "Asia/Tokyo"]
    found = jobs.definitions.get(made.id)
    assert found == made
    assert found.status
    assert found.status.next_at == found.next_fire_times(datetime.now(UTC), 1)[0]


def test_of_two_editors_one_gets_both_versions(jobs: JobKit, nightly: Any) -> None:
    mine = replace(nightly, data={"a": 3, "b": 4})
    [theirs] = jobs.definitions.update(replace(nightly, priority=3))
    with pytest.raises(DefinitionConflict, match="made to version 1, it has version 2 now") as error:
        jobs.definitions.update(mine, replace(nightly, id="other", version=0))
    assert (error.value.mine, error.value.theirs) == (mine, theirs)
    assert [one.id for one in jobs.definitions.query()] == ["nightly"]
    jobs.definitions.update(replace(error.value.theirs, data=mine.data))
    found = jobs.definitions.get("nightly")
    assert (found.version, found.priority, found.data) == (3, 3, {"a": 3, "b": 4})


def test_an_id_can_be_created_once(jobs: JobKit, add: Any, nightly: Any) -> None:
    with pytest.raises(DefinitionConflict):
        jobs.definitions.create("nightly", task=add)


def test_what_cannot_be_is_named(jobs: JobKit, add: Any) -> None:
    for fields in ({"colour": 3}, {"overlap": "perhaps"}, {"data": {"a": object()}}, {"id": "@x"}, {"grace": -1}):
        with pytest.raises(InvalidOption) as error:
            jobs.definitions.create(**{"task": add, **fields})
        assert next(iter(fields)) in str(error.value)


def test_definitions_are_found(jobs: JobKit, add: Any, nightly: Any) -> None:
    jobs.definitions.create("b", task="small.other", name="A Cleanup", owner="alice")
    jobs.definitions.create("c", task=add, owner="alice")
    assert [one.id for one in jobs.definitions.query()] == ["b", "c", "nightly"]
    assert [one.id for one in jobs.definitions.query(name="cleanup")] == ["b"]
    assert [one.id for one in jobs.definitions.query(owner="alice", task="small.add")] == ["c"]
    assert [one.id for one in jobs.definitions.query(limit=2)] == ["b", "c"]
    assert jobs.definitions.delete("b", "nobody") == ["b"]


def test_queue_now_says_what_became_of_it(jobs: JobKit, nightly: Any) -> None:
    assert [answer.verdict for answer in jobs.definitions.queue_now("nightly", "nightly")] == [
        Queued.QUEUED,
        Queued.JOINED,
    ]
    job = jobs.get("@nightly")
    assert (job.state, job.task, job.kwargs, job.tags) == (
        State.QUEUED,
        "small.add",
        "{'a': 1, 'b': 2}",
        ("@nightly",),
    )
    assert len(waiting(jobs.app)) == 1
    with pytest.raises(DefinitionUnknown):
        jobs.definitions.queue_now("nobody")
    jobs.definitions.update(replace(jobs.definitions.get("nightly"), enabled=Enabled.FULLY_DISABLED))
    [answer] = jobs.definitions.queue_now("nightly")
    assert (answer.verdict, answer.reason) == (Queued.REFUSED, Enabled.FULLY_DISABLED.value)


def test_queue_within(jobs: JobKit, nightly: Any) -> None:
    within = jobs.definitions.queue_within
    assert [within("nightly", s).verdict.value for s in (60, 90, 30)] == ["queued", "joined", "advanced"]
    assert status(jobs, "nightly").state is FiveState.SCHEDULED
    with pytest.raises(InvalidOption):
        within("nightly", -1)


def test_queue_one_time(jobs: JobKit, add: Any) -> None:
    answer = jobs.definitions.queue_one_time(task=add, data={"a": 1, "b": 1}, keep_days=0)
    assert answer.verdict is Queued.QUEUED
    assert status(jobs, answer.job_id[1:]).state is FiveState.QUEUED
    assert history.trim(jobs.store) == 1
    with pytest.raises(DefinitionUnknown):
        jobs.definitions.get(answer.job_id[1:])
    assert jobs.get(answer.job_id).state is State.QUEUED


def test_an_id_that_is_taken_is_not_queued_once(jobs: JobKit, add: Any, nightly: Any) -> None:
    with pytest.raises(DefinitionConflict, match="nightly"):
        jobs.definitions.queue_one_time(id="nightly", task=add, data={"a": 1, "b": 1})
    with pytest.raises(JobUnknown):
        jobs.get("@nightly")


def test_pause_and_resume(jobs: JobKit, nightly: Any) -> None:
    assert jobs.definitions.pause("nightly", "the shop is closed").version == 2
    status = jobs.definitions.get("nightly").status
    assert status
    assert (status.paused, status.next_at, status.state) == ("the shop is closed", None, FiveState.NOT_SCHEDULED)
    jobs.definitions.resume("nightly")
    status = jobs.definitions.get("nightly").status
    assert status
    assert (status.paused, status.state) == ("", FiveState.SCHEDULED)
    assert status.next_at
    assert status.next_at > datetime.now(UTC)


def test_a_log_level_for_a_while(jobs: JobKit, nightly: Any) -> None:
    jobs.definitions.set_log_level("nightly", "debug", for_=timedelta(hours=1))
    jobs.definitions.set_log_level("nightly", "WARNING", for_=3600)
    assert jobs.definitions.get("nightly").log_level == "WARNING"
    jobs.definitions.set_log_level("nightly", "ERROR", for_=0)
    assert jobs.definitions.get("nightly").log_level == "INFO"
    with pytest.raises(InvalidOption):
        jobs.definitions.set_log_level("nightly", "LOUD")


def test_a_backfill_runs_each_slot_of_a_period_once_and_in_order(jobs: JobKit, nightly: Any) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    filled = jobs.definitions.backfill("nightly", start, start + timedelta(days=3))
    assert [jobs.get(job).state.value for job in filled] == ["QUEUED", *2 * ["WAITING_FOR_PREDECESSOR"]]
    assert jobs.definitions.backfill("nightly", start, start + timedelta(days=3)) == filled
    assert {jobs.get(job).run for job in filled} == {1}


def test_the_asynchronous_twins(jobs: JobKit, nightly: Any) -> None:
    async def use() -> Any:
        [answer] = await jobs.definitions.aqueue_now("nightly")
        return answer.verdict, (await jobs.definitions.aget("nightly")).version

    assert asyncio.run(use()) == (Queued.QUEUED, 1)


# -- what code declares ------------------------------------------------------------------------------------------------


def test_what_code_declares_is_stored_and_never_over_an_operators_change(jobs: JobKit, add: Any) -> None:
    jobs.define("sync", task=add, schedule=60, priority=3, name="Sync")
    for _ in range(2):
        jobs.prepare()
    assert jobs.definitions.get("sync").version == 1
    jobs.definitions.change("sync", lambda one: replace(one, priority=7))
    jobs.define("sync", task=add, schedule=90, priority=5, name="Sync")
    jobs.prepare()
    found = jobs.definitions.get("sync")
    assert (found.priority, found.schedules) == (7, (schedule(90),))
    jobs.definitions.delete("sync")
    jobs.prepare()
    assert list(jobs.definitions.query()) == []


def test_a_definition_that_was_made_by_hand_is_not_declared_over(jobs: JobKit, add: Any, nightly: Any) -> None:
    jobs.define("nightly", task=add, name="Other")
    jobs.prepare()
    assert jobs.definitions.get("nightly").name == ""


def points(monkeypatch: pytest.MonkeyPatch, loaded: Callable[..., object]) -> None:
    class Point(EntryPoint):
        def load(self) -> Any:
            return loaded

    monkeypatch.setattr(declaring, "entry_points", lambda group: [Point("mail", "mail.jobs:install", group)])


def test_plug_ins_are_found_by_their_entry_point(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    def install(jobs: JobKit) -> None:
        @jobs.app.task(name="mail.send", shared=False)
        def send() -> None:
            """Nothing."""

        jobs.define("mail", task=send)

    points(monkeypatch, install)
    jobs = JobKit(app)
    app.finalize()
    assert "mail.send" in app.tasks
    assert list(jobs.declared) == ["mail"]


def test_a_plug_in_that_cannot_be_loaded_is_named_and_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    points(monkeypatch, lambda jobs: 1 / 0)
    JobKit(app)
    app.finalize()
    assert "the plug-in mail = mail.jobs:install (entry point jobkit.jobs) cannot be loaded" in caplog.text
    assert "ZeroDivisionError" in caplog.text


# -- beat --------------------------------------------------------------------------------------------------------------


def test_existing_beat_entries_keep_working(app: Celery, jobs: JobKit, add: Any) -> None:
    options = {"queue": "slow", "headers": {"x": 1}}
    entry = {"task": "small.add", "schedule": 0.1, "args": (1, 2), "options": options}
    app.conf.beat_schedule = {"sum up": entry, "old": {**entry, "schedule": crontab(minute=0)}}
    assert Scheduler(app, lazy=True).tick() <= 1
    found = jobs.definitions.get("beat:small:sum_up")
    assert (found.name, found.task) == ("sum up", "small.add")
    beat = BeatOf(jobs)
    while not (jobs_ := jobs.query(tag=f"@{found.id}").jobs):
        beat.run_once()
    assert (jobs_[0].queue, jobs_[0].args) == ("slow", "[1, 2]")
    message = waiting(app, "slow")[-1]
    assert "celery_beat_task" in json.dumps(message)
    claim = jobs.store.claim(jobs_[0].id, 1, "t", "w|b", 1, redelivered=False, plan=Plan(jobs_[0].id, "small.add", ""))
    assert claim.newest[:2] == ("", "")
    del app.conf.beat_schedule["old"]
    BeatOf(jobs).run_once()
    assert [one.id for one in jobs.definitions.query()] == ["beat:small:sum_up"]


class Tide(celery_schedule):
    """A schedule of a class of the application's own: due so often, if the water is high."""

    high = True

    def is_due(self, last_run_at: datetime) -> Any:
        due, seconds = super().is_due(last_run_at)
        return (due, seconds) if self.high or not due else (False, 0.05)


def fires(jobs: JobKit, name: str) -> int:
    status = jobs.definitions.get(name).status
    assert status
    return status.fired


def test_a_beat_entry_whose_schedule_is_of_its_own_class_is_asked(app: Celery, jobs: JobKit, add: Any) -> None:
    app.conf.timezone = "Europe/Berlin"
    tide, name = Tide(0.3), "beat:small:tide"
    app.conf.beat_schedule = {"tide": {"task": "small.add", "schedule": tide, "args": (1, 2)}}
    beats, clerk = [BeatOf(jobs), BeatOf(jobs)], BeatOf(jobs)
    clerk.run_once()
    found = jobs.definitions.get(name)
    assert found.schedules[0].to_json() == {
        "own": "tests.ext.test_definitions.Tide <freq: now>",
        "timezone": "Europe/Berlin",
    }
    eventually(lambda: any(beat.run_once() != -1 and fires(jobs, name) == 4 for beat in beats))
    times = sorted(job.id for job in jobs.query(tag=f"@{name}").jobs)
    assert len(times) == 4
    assert all(int(b[-13:]) - int(a[-13:]) >= 300 for a, b in pairwise(times))
    # Another beat goes on where they stopped; nothing fires while it says that nothing is due, nor while it is paused.
    tide.high = False
    asked = status(jobs, name).next_at
    eventually(lambda: clerk.run_once() == 0.0 and status(jobs, name).next_at > asked)
    assert fires(jobs, name) == 4
    jobs.definitions.pause(name)
    tide.high = True
    assert status(jobs, name).next_at is None
    assert clerk.run_once() is None
    jobs.definitions.resume(name)
    eventually(lambda: clerk.run_once() == 0.0 and fires(jobs, name) == 5)


def test_a_schedule_that_cannot_be_asked_is_asked_again_later(
    app: Celery, jobs: JobKit, add: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(celery_schedule):
        def is_due(self, last_run_at: datetime) -> Any:
            raise OSError("no water")

    app.conf.beat_schedule = {"tide": {"task": "small.add", "schedule": Broken(1)}}
    beat = BeatOf(jobs)
    eventually(lambda: beat.run_once() == 0.0)
    assert "no water" in caplog.text
    wait = beat.run_once()
    assert wait is not None
    assert 0 < wait <= 5


def test_a_beat_entry_whose_schedule_cannot_be_is_named(app: Celery, jobs: JobKit, add: Any) -> None:
    app.conf.beat_schedule = {"odd": {"task": "small.add", "schedule": 0.01}}
    with pytest.raises(InvalidOption, match=r"beat_schedule\['odd'\]"):
        BeatOf(jobs).run_once()


def test_what_cannot_be_made_does_not_hold_up_the_others(
    jobs: JobKit, add: Any, caplog: pytest.LogCaptureFixture
) -> None:
    past = datetime.now(UTC) + timedelta(seconds=2)
    jobs.definitions.create("bad", task=add, schedule=past, data={"no": "such argument"})
    jobs.definitions.create("good", task=add, schedule=past, data={"a": 1, "b": 1})
    beat = BeatOf(jobs)
    while beat.run_once() is not None:
        pass
    assert "bad cannot be run" in caplog.text
    assert jobs.get("@good").state is State.QUEUED
    assert status(jobs, "bad").missed == 1


def test_a_beat_without_redis_says_so_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    app = Celery("nowhere", broker="redis://localhost:1/0", backend="redis://localhost:1/0")
    JobKit(app, patience=0)
    scheduler = Scheduler(app, lazy=True)
    assert [scheduler.tick(), scheduler.tick()] == [1.0, 1.0]
    assert caplog.text.count("nothing fires until this works again") == 1


def test_a_tick_is_one_round_trip_when_nothing_is_due(jobs: JobKit, nightly: Any) -> None:
    beat = BeatOf(jobs)
    beat.run_once()
    before = jobs.store.client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
    others = jobs.store.client.info("stats")["total_commands_processed"]
    for _ in range(5):
        beat.run_once()
    calls = jobs.store.client.info("commandstats")["cmdstat_evalsha"]["calls"] - before
    sent = jobs.store.client.info("stats")["total_commands_processed"] - others
    assert calls == 5
    # Each script counts its own three commands; and the two questions asked here.
    assert sent <= 5 * 4 + 3
    assert definitions.due(jobs.store, 1, print)[2] == []


# -- by a key ----------------------------------------------------------------------------------------------------------


def test_submissions_by_a_key_are_coalesced(jobs: JobKit, add: Any) -> None:
    first = jobs.coalesce(add.s(1, 2), "sum", owner="alice", tags=["t"])
    second = jobs.coalesce(add.s(3, 4), "sum")
    assert [first.verdict, second.verdict] == [Queued.QUEUED, Queued.REPLACED]
    job = jobs.get("sum")
    assert (job.run, job.args, job.state) == (2, "(3, 4)", State.QUEUED)
    dropped = jobs.coalesce(add.s(5, 6), "sum", "drop")
    assert (dropped.verdict, dropped.reason) == (Queued.REFUSED, "it is QUEUED")
    assert asyncio.run(jobs.acoalesce(add.s(1, 1), "other", "debounce", wait=60)).verdict is Queued.QUEUED
    assert jobs.get("other").state is State.WAITING_FOR_START


def test_how_they_are_coalesced_is_checked(jobs: JobKit, add: Any) -> None:
    for given in ({"how": "maybe"}, {"how": "debounce"}, {"wait": -1}, {"max_wait": "soon"}):
        with pytest.raises(InvalidOption, match="coalesce"):
            jobs.coalesce(add.s(1, 2), "sum", **given)
    with pytest.raises(InvalidOption, match="signature"):
        jobs.coalesce(add, "sum")


# -- hosts -------------------------------------------------------------------------------------------------------------


def test_what_works_on_a_host_waits_while_that_is_away(jobs: JobKit, add: Any) -> None:
    def state() -> FiveState:
        found: FiveState = status(jobs, "eu").state
        return found

    jobs.definitions.create("eu", task=add, schedule=3600, data={"a": 1, "b": 1}, host="eu-1")
    seen = [state()]
    jobs.hosts.offline("eu-1", "maintenance")
    seen.append(state())
    assert jobs.definitions.queue_now("eu")[0].verdict is Queued.QUEUED
    assert jobs.definitions.queue_now("eu")[0].verdict is Queued.JOINED
    assert jobs.get("@eu").state is State.HOST_BLOCKED
    seen.append(state())
    jobs.hosts.online("eu-1")
    seen.append(state())
    assert seen == [FiveState(name) for name in ("SCHEDULED", "HOST_BLOCKED", "HOST_BLOCKED", "QUEUED")]


def test_who_edits_a_paused_definition_does_not_resume_it(jobs: JobKit, nightly: Any) -> None:
    jobs.definitions.pause("nightly", "closed")
    jobs.definitions.update(replace(nightly, version=2, schedules=(schedule(5),)))
    found = status(jobs, "nightly")
    assert (found.paused, found.next_at) == ("closed", None)


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-1, 1])
def test_only_the_clock_of_redis_counts(jobs: JobKit, add: Any, hours: int) -> None:
    jobs.definitions.create("warm", task=add, schedule=1, data={"a": 1, "b": 1})  # connected, and in step
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=hours)):
        one = jobs.definitions.create("one", task=add, schedule=1, data={"a": 1, "b": 1})
        assert one.version == 1
        beat, tries = BeatOf(jobs), 0
        while status(jobs, "one").fired == 0:
            beat.run_once()
            tries += 1
            assert tries < 100_000
        [(slot, late)] = status(jobs, "one").fires
    assert abs(slot - datetime.now(UTC)) < timedelta(minutes=5)
    assert late < 300  # where the other clock is an hour off


def test_who_sets_a_log_level_ends_one_that_was_set_for_a_while(jobs: JobKit, nightly: Any) -> None:
    jobs.definitions.set_log_level("nightly", "DEBUG", for_=0.05)
    eventually(lambda: jobs.definitions.get("nightly").log_level == "INFO")
    jobs.definitions.change("nightly", lambda one: replace(one, log_level="ERROR"))
    assert jobs.definitions.get("nightly").log_level == "ERROR"
    jobs.definitions.queue_now("nightly")
    claim = jobs.store.claim("@nightly", 1, "t", "w|b", 1, redelivered=False, plan=Plan("@nightly", "small.add", ""))
    assert claim.newest[2] == "ERROR"


def test_a_definition_that_cannot_be_read_harms_no_other(
    jobs: JobKit, add: Any, caplog: pytest.LogCaptureFixture
) -> None:
    when = datetime.now(UTC) + timedelta(seconds=2)
    for name in ("good", "newer"):
        jobs.definitions.create(name, task=add, schedule=when, data={"a": 1, "b": 1})
    jobs.store.client.hset(jobs.store.keys.key("definition", "newer"), "schedules", '[{"tides": "high"}]')
    assert [one.id for one in jobs.definitions.query()] == ["good"]
    with pytest.raises(BadRecord):
        jobs.definitions.get("newer")
    beat = BeatOf(jobs)
    eventually(lambda: beat.run_once() == 0.0)
    assert jobs.get("@good").state is State.QUEUED
    for _ in range(3):
        assert beat.run_once() is None
    assert caplog.text.count("a definition is left to others") == 1

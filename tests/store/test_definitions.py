"""Definitions on a real Redis whose clock stands: versions, slots, coalescing, backups, history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from jobkit.definitions import Definition, Enabled, Status
from jobkit.errors import DefinitionUnknown
from jobkit.locks import Lock
from jobkit.model import Failure
from jobkit.states import FiveState, Outcome
from jobkit.store import End, Verdict, definitions, history, recipes
from jobkit.store.definitions import Change, Defined, Step
from jobkit.store.records import when
from tests.store.world import NOW, World, holder, plan

DONE = End(("finish",), Outcome.SUCCEEDED, "fine")
FAILED = End(("fail",), Outcome.FAILED, "no luck", Failure("ValueError", "no luck"))
ONE = Definition("one", "shop.pack", schedules=(60,), data={"a": 1})  # type: ignore[arg-type]


class Stored:
    """One definition in a world."""

    def __init__(self, world: World, one: Definition = ONE, slot: int | None = NOW, backup: int | None = None) -> None:
        self.world, self.store, self.one, self.ops = world, world.store, one, 0
        assert self.write(one, slot=slot, fire=slot, backup=backup).code == "ok"

    def write(self, one: Definition, **options: Any) -> Defined:
        self.ops += 1
        answer = definitions.define(self.store, [Change(one, **options)], "editor", f"write{self.ops}")
        if answer.code == "ok":
            self.one = replace(one, version=answer.versions[0])
        return answer

    def queue(self, within: float = 0.0, **options: Any) -> str:
        self.ops += 1
        op, by = f"queue{self.ops}", "client"
        job = plan(self.one.job_id, tags=(self.one.job_id,))
        found, why = definitions.queue(self.store, "one", self.one.job_id, job, by, "", op, within, **options)
        return f"refused: {why}" if found.code == "refused" else found.code

    def tick(
        self, overlap: str = "skip", act: str = "fire", slot: int = NOW, following: int | None = 60_000
    ) -> Verdict:
        after = None if following is None else slot + following
        job = f"{self.one.job_id}~{slot}" if overlap == "allow" else self.one.job_id
        step = Step(slot, after, after, act, overlap)
        return definitions.tick(self.store, self.one, job, step, plan(job, tags=(self.one.job_id,)), "beat")

    def run(self, run: int = 1, end: End | None = DONE, job: str = "@one") -> Any:
        claim = self.world.claim(job, run)
        assert claim.code == "ok"
        if end:
            self.store.finish(job, holder(run), end)
        return claim

    @property
    def state(self) -> FiveState:
        return self.status.state

    @property
    def status(self) -> Status:
        found = recipes.get(self.store, "one").status
        assert found
        return found

    @property
    def job(self) -> dict[str, str]:
        return self.world.record("@one")


@pytest.fixture
def one(world: World) -> Stored:
    return Stored(world)


# -- records -------------------------------------------------------------------------------------------------------


def test_a_definition_is_read_as_it_was_written(world: World) -> None:
    full = Definition(
        "full", "shop.pack", "Full", {"a": [1, None, "ü"]}, (1, "x"),
        (60, "0 3 * * *"), 900, Enabled.SCHEDULES_DISABLED,  # type: ignore[arg-type]
        "BUFFER", "ALL", 5, 60.5, 3, "eu-1", "alice", 4, "mail", {"expires": 60}, "DEBUG",  # type: ignore[arg-type]
    )  # fmt: skip
    definitions.define(world.store, [Change(full)], "editor", "op")
    found = recipes.get(world.store, "full")
    assert found == replace(full, version=1)
    with pytest.raises(DefinitionUnknown, match="nobody"):
        recipes.get(world.store, "nobody")


def test_only_who_read_the_last_version_may_write(one: Stored) -> None:
    first = one.one
    assert one.write(replace(first, name="mine"), slot="keep").code == "ok"
    before = one.world.picture()
    answer = one.write(replace(first, name="theirs"), slot="keep")
    assert (answer.code, answer.conflicts) == ("conflict", (("one", 2),))
    assert one.world.picture() == before


def test_many_are_written_or_none(one: Stored) -> None:
    other = Definition("other", "shop.pack")
    stale = replace(one.one, version=7)
    before = one.world.picture()
    answer = definitions.define(one.store, [Change(other), Change(stale), Change(replace(other, id="x"))], "e", "op")
    assert answer.conflicts == (("one", 1),)
    assert one.world.picture() == before
    assert definitions.define(one.store, [Change(other), Change(one.one)], "e", "op").versions == (1, 2)
    assert recipes.ids(one.store) == ["one", "other"]


def test_an_edit_does_not_take_a_slot_that_is_due(one: Stored) -> None:
    one.write(one.one, slot=NOW + 90_000, fire=NOW + 90_000)
    assert definitions.due(one.store, 9, print)[2][0].slot == NOW
    assert one.tick().code == "queued"
    one.write(one.one, slot=NOW + 90_000, fire=NOW + 90_000)
    assert definitions.due(one.store, 9, print)[1:] == (90.0, [])


def test_what_is_made_for_one_run_is_made_with_it_or_not_at_all(world: World) -> None:
    change = Change(replace(ONE, id="x"), NOW, NOW, None)

    def once(job: str = "@x", op: str = "op1", one: Change = change) -> str:
        return definitions.once(world.store, one, plan(job, tags=(job,)), "client", "why", op, 60.0)[0].code

    assert once() == "queued"
    assert world.record("@x")["source"] == "queued by client: why"
    assert recipes.get(world.store, "x").status.state is FiveState.QUEUED  # type: ignore[union-attr]
    before = world.picture()
    assert [once(), once(op="op2")] == ["again", "conflict"]
    assert world.picture() == before
    definitions.undefine(world.store, ("x", None))
    assert once(op="op3") == "joined"  # what the one before has queued is not run twice
    definitions.undefine(world.store, ("x", None))
    world.store.suspend("@x", "operator")
    before = world.picture()
    assert once(op="op4") == "refused"
    assert world.picture() == before


def test_only_the_version_that_is_meant_is_deleted(one: Stored) -> None:
    assert definitions.undefine(one.store, ("one", 9), ("nobody", None)) == []
    one.queue()
    assert definitions.undefine(one.store, ("one", 1)) == ["one"]
    assert definitions.due(one.store, 9, print)[1:] == (None, [])
    assert one.run().newest == ("", "", "")  # what it has queued runs with what it was given


# -- five states -----------------------------------------------------------------------------------------------------


def test_the_five_states(one: Stored) -> None:
    seen = [one.state]
    one.queue()
    seen.append(one.state)
    one.run(end=None)
    one.queue()
    seen.append(one.state)
    one.store.finish("@one", holder(1), DONE)
    seen.append(one.state)
    one.run(2)
    one.write(one.one, slot=None)
    seen.append(one.state)
    one.queue(60)
    seen.append(one.state)
    names = "SCHEDULED QUEUED IN_PROGRESS QUEUED NOT_SCHEDULED SCHEDULED"
    assert seen == [FiveState(name) for name in names.split()]


# -- coalescing ------------------------------------------------------------------------------------------------------


def test_a_hundred_calls_make_two_runs_and_the_last_has_the_newest_data(one: Stored) -> None:
    assert [one.queue() for _ in range(100)] == ["queued"] + 99 * ["joined"]
    assert one.run(end=None).newest[1] == '{"a":1}'
    assert [one.queue() for _ in range(100)] == ["requeued"] + 99 * ["joined"]
    one.write(replace(one.one, data={"a": 2}), slot="keep")
    one.store.finish("@one", holder(1), DONE)
    assert one.run(2).newest[1] == '{"a":2}'
    assert one.job["state"] == "FINISHED"


@pytest.mark.parametrize("end", [DONE, FAILED, End(("abort",), Outcome.FAILED, "its worker vanished")])
def test_the_mark_survives_however_the_run_ends(one: Stored, end: End) -> None:
    one.queue()
    one.run(end=None)
    one.queue()
    one.store.write("@one", holder(1), {"checkpoint": "9"})
    one.store.finish("@one", holder(1), end)
    assert (one.job["state"], one.job["run"]) == ("QUEUED", "2")
    assert "checkpoint" not in one.job  # it begins anew
    assert one.run(2).checkpoint == ""


def test_queue_within_only_makes_it_sooner(one: Stored) -> None:
    assert one.queue(60) == "queued"
    assert one.queue(90) == "joined"
    assert int(one.job["start"]) == NOW + 60_000
    assert one.queue(20) == "advanced"
    assert int(one.job["start"]) == NOW + 20_000
    assert one.queue() == "advanced"
    assert one.job["state"] == "QUEUED"
    assert one.queue(5) == "joined"
    one.run(end=None)
    assert [one.queue(60), one.queue(90), one.queue(30)] == ["requeued", "joined", "advanced"]
    one.store.finish("@one", holder(1), DONE)
    assert (one.job["state"], int(one.job["start"])) == ("WAITING_FOR_START", NOW + 30_000)


def test_what_is_disabled_or_suspended_is_refused_and_says_why(one: Stored) -> None:
    one.write(replace(one.one, enabled=Enabled.SCHEDULES_DISABLED), slot=None)
    assert one.queue(60) == "queued"
    one.store.suspend("@one", "operator")
    assert one.queue() == "refused: suspended"
    one.write(replace(one.one, enabled=Enabled.FULLY_DISABLED), slot=None)
    assert one.queue() == "refused: FULLY_DISABLED"


PAUSED = End(("finish",), Outcome.STOPPED, "paused", paused=True)


@pytest.mark.parametrize("first", ["queued again", "paused"])
def test_a_run_that_was_paused_waits_to_be_resumed_and_goes_on_before_the_one_that_was_asked_for(
    one: Stored, first: str
) -> None:
    one.queue()
    one.run(end=None)
    one.store.write("@one", holder(1), {"checkpoint": "9"})
    if first == "paused":
        one.store.ask("@one", "request_pause", "operator")
    assert one.queue() == "requeued"
    if first == "queued again":
        one.store.ask("@one", "request_pause", "operator")
    one.store.finish("@one", holder(1), PAUSED)
    assert (one.job["state"], one.job["run"]) == ("SUSPENDED", "2")
    assert one.queue() == "refused: suspended"
    one.world.advance(90_000)
    assert one.store.take("keeper")[1] == []
    one.world.check()
    one.store.change_start("@one", None, "operator")
    assert one.run(2).checkpoint == "9"
    assert (one.job["state"], one.job["run"]) == ("QUEUED", "3")
    assert one.run(3).checkpoint == ""
    assert one.job["state"] == "FINISHED"


def test_no_slot_fires_what_is_suspended(one: Stored) -> None:
    one.queue()
    one.store.suspend("@one", "operator")
    assert one.tick("buffer").code == "refused"
    assert one.job["state"] == "SUSPENDED"
    assert (one.status.fired, one.status.skipped, one.status.fires) == (0, 1, ())


def test_the_run_after_one_that_was_retried_has_a_message_of_its_own(one: Stored) -> None:
    one.queue()
    one.run(end=None)
    one.world.client.hset(one.store.keys.job("@one"), "retries", 2)
    answer, _ = definitions.queue(one.store, "one", "@one", None, "c", "", "op")
    assert answer.code == "wanted"
    assert one.queue() == "requeued"


WISH = st.one_of(
    st.tuples(st.just("within"), st.integers(0, 100)), st.tuples(st.sampled_from(["off", "on", "wait"]), st.just(7))
)


@settings(max_examples=60, deadline=None)
@given(wishes=st.lists(WISH, min_size=1, max_size=12))
def test_it_starts_at_the_soonest_of_the_valid_wishes(connection: Redis, wishes: list[tuple[str, int]]) -> None:
    connection.flushdb()
    one = Stored(World(connection), slot=None)
    soonest: int | None = None
    for wish, seconds in wishes:
        if wish == "wait":
            one.world.advance(seconds * 10)
        elif wish in ("off", "on"):
            enabled = Enabled.FULLY_DISABLED if wish == "off" else Enabled.SCHEDULES_DISABLED
            one.write(replace(one.one, enabled=enabled), slot=None)
        elif one.queue(seconds) != "refused: FULLY_DISABLED":
            at = one.world.now + seconds * 1000
            soonest = at if soonest is None else min(soonest, at)
            assert int(one.job.get("start", one.job["submitted"])) == soonest
    one.world.check()


# -- slots -------------------------------------------------------------------------------------------------------------


def test_a_slot_is_taken_once_whoever_comes(one: Stored) -> None:
    assert one.tick().code == "queued"
    before = one.world.picture()
    assert one.tick().code == "again"
    later = replace(one.one, version=9)
    step = Step(NOW, NOW + 1, NOW + 1, "fire")
    assert definitions.tick(one.store, later, "@one", step, plan("@one"), "a beat that slept").code == "again"
    one.run()
    assert one.tick().code == "again"
    assert before != one.world.picture()
    assert one.status.fires == ((when(str(NOW)), 0.0),)


def test_a_beat_that_slept_through_two_slots_fires_nothing(one: Stored) -> None:
    one.tick(slot=NOW)
    one.run()
    one.world.advance(60_000)
    one.tick(slot=NOW + 60_000)
    one.run(2)
    before = one.world.picture()
    assert one.tick(slot=NOW).code == "stale"
    assert one.world.picture() == before


def test_a_slot_of_a_changed_definition_is_left_to_who_reads_it_again(one: Stored) -> None:
    old = one.one
    one.write(old, slot="keep", fire="keep")
    before = one.world.picture()
    stale = definitions.tick(one.store, old, "@one", Step(NOW, None, None, "fire"), plan("@one"), "beat")
    assert stale.code == "stale"
    assert one.world.picture() == before
    assert one.tick().code == "queued"


def test_a_message_that_the_beat_did_not_publish_is_owed(one: Stored) -> None:
    assert one.tick().publish
    one.world.advance(5_000)
    assert [job for job, _, _ in one.store.take("keeper")[1]] == ["@one"]


@pytest.mark.parametrize(
    ("overlap", "code", "state"),
    [
        ("skip", "skipped", "RUNNING"), ("buffer", "requeued", "RUNNING"), ("cancel", "requeued", "CANCELLING_BY_USER"),
        ("wait", "busy", "RUNNING"), ("allow", "queued", "RUNNING"),
    ],
)  # fmt: skip
def test_a_slot_while_it_runs(one: Stored, overlap: str, code: str, state: str) -> None:
    one.queue()
    one.run(end=None)
    assert one.tick(overlap).code == code
    assert one.job["state"] == state
    assert (one.status.skipped, one.status.fired) == (int(code == "skipped"), int(code in ("requeued", "queued")))
    left = definitions.due(one.store, 9, print)[1]
    assert left == (0.5 if overlap == "wait" else 60.0)
    assert one.world.record(f"@one~{NOW}").get("state") == ("QUEUED" if overlap == "allow" else None)


def test_a_slot_brings_forward_a_run_that_waits(one: Stored) -> None:
    one.queue(30)
    assert one.tick().code == "advanced"
    assert one.job["state"] == "QUEUED"


def test_the_last_ten_fire_times_are_kept(one: Stored) -> None:
    for n in range(13):
        one.world.advance(60_000 if n else 0)
        assert one.tick("allow", slot=NOW + n * 60_000).code == "queued"
    assert [int(slot.timestamp() * 1000) for slot, _ in one.status.fires] == [
        NOW + n * 60_000 for n in range(12, 2, -1)
    ]


def test_a_schedule_that_is_over_leaves_nothing(one: Stored) -> None:
    one.tick(following=None)
    assert definitions.due(one.store, 9, print)[1:] == (None, [])


# -- backups -----------------------------------------------------------------------------------------------------------


def insured(world: World) -> Stored:
    return Stored(world, replace(ONE, backup_every=10, schedules=()), slot=None, backup=10_000)


def test_a_backup_runs_what_nothing_else_ran(world: World) -> None:
    one = insured(world)
    world.advance(10_000)
    [due] = definitions.due(one.store, 9, print)[2]
    assert due.kind == "backup"
    assert definitions.insure(one.store, one.one, due.at, plan("@one"), "beat").code == "queued"
    assert definitions.insure(one.store, one.one, due.at, plan("@one"), "another").code == "stale"
    assert one.status.backups == 1


def test_a_run_puts_the_backup_off(world: World) -> None:
    one = insured(world)
    world.advance(9_000)
    one.queue()
    one.run()
    world.advance(9_999)
    assert definitions.due(one.store, 9, print)[1:] == (0.001, [])
    world.advance(1)
    assert len(definitions.due(one.store, 9, print)[2]) == 1


def test_no_backup_is_made_of_what_is_queued(world: World) -> None:
    one = insured(world)
    one.queue()
    world.advance(10_000)
    [due] = definitions.due(one.store, 9, print)[2]
    assert definitions.insure(one.store, one.one, due.at, plan("@one"), "beat").code == "passed"
    assert one.status.backups == 0


# -- what failures do ----------------------------------------------------------------------------------------------


def test_so_many_failures_in_a_row_pause_it(world: World) -> None:
    one = Stored(world, replace(ONE, pause_after=2))
    for run, end in enumerate([FAILED, DONE, FAILED, FAILED], 1):
        assert one.status.paused == ""
        one.queue()
        one.run(run, end)
    assert (one.status.paused, one.status.failures) == ("2 failures in a row", 2)
    assert definitions.due(one.store, 9, print)[1:] == (None, [])
    assert one.queue() == "queued"  # it can still be queued


def test_a_log_level_is_what_it_was_when_its_time_is_over(one: Stored) -> None:
    more = {"log_until": str(NOW + 1000), "log_before": "WARNING"}
    one.write(replace(one.one, log_level="DEBUG"), slot="keep", more=more)
    one.queue()
    assert one.run().newest[2] == "DEBUG"
    one.world.advance(1000)
    one.queue()
    assert one.run(2).newest[2] == "WARNING"


def test_a_definition_made_for_a_while_goes_when_that_is_over(one: Stored) -> None:
    definitions.define(one.store, [Change(replace(ONE, id="short"))], "e", "op", 5.0)
    one.world.advance(4_999)
    assert history.trim(one.store) == 0
    one.world.advance(1)
    assert history.trim(one.store) == 1
    assert recipes.ids(one.store) == ["one"]


def test_a_definition_whose_task_needs_a_lock_waits_for_it(one: Stored) -> None:
    one.world.submit("other", locks=(Lock("db"),))
    wanted = plan("@one", tags=("@one",), locks=(Lock("db"),))
    answer, _ = definitions.queue(one.store, "one", "@one", wanted, "c", "", "op", 5.0)
    assert (answer.code, answer.publish) == ("queued", ())
    assert definitions.queue(one.store, "one", "@one", wanted, "c", "", "op2")[0].code == "advanced"
    assert one.job["state"] == "WAITING_FOR_LOCK"
    one.run(1, DONE, "other")
    assert one.job["state"] == "QUEUED"
    one.run()
    one.world.check()

"""Families in the store: a parent ends after its children, and knows at every moment whether one of them runs."""

from __future__ import annotations

from typing import Any

import pytest

from jobkit.errors import CannotSpawn, Fenced, IllegalTransition
from jobkit.locks import Lock, checked
from jobkit.states import Outcome, State
from jobkit.store import End, Settled, Verdict, families
from tests.store.world import World, holder, plan

DONE = End(("finish",), Outcome.SUCCEEDED, "well done", meta='{"status": "SUCCESS"}', facts={"deferred": "1"})
FAILED = End(("fail",), Outcome.FAILED, "no luck")
CHILD_DONE = End(("finish",), Outcome.SUCCEEDED, meta='{"status": "SUCCESS", "result": 1}')


@pytest.fixture
def parent(world: World) -> World:
    """A job `j` that runs."""
    world.submit()
    world.claim()
    return world


def spawn(
    world: World, job_id: str, up: str = "j", fence: str = "1 tok1", upon: str = "fail", **options: Any
) -> Verdict:
    facts = {"parent": up, **options.pop("facts", {})}
    return world.store.create(plan(job_id, up=up, upon=upon, fence=fence, facts=facts, **options), "client")


def finish(world: World, job_id: str = "j", end: End = DONE, run: int = 1) -> Verdict:
    verdict = world.store.finish(job_id, holder(run), end)
    world.check()
    return verdict


def run(world: World, job_id: str, end: End = CHILD_DONE) -> Verdict:
    assert world.claim(job_id).code == "ok"
    world.check()
    return finish(world, job_id, end)


def state(world: World, job_id: str = "j") -> str:
    return world.record(job_id)["state"]


def conclude(world: World, job_id: str = "j", end: End | None = None) -> Verdict:
    """End a job whose end was kept, as who settles it does."""
    kept = families.look(world.store, job_id)
    ending = kept.ending
    assert ending is not None
    assert families.settle(world.store, job_id, "settler", bad=ending["target"] != "FINISHED").code == "end"
    end = end or End(("finish" if ending["target"] == "FINISHED" else "fail",), Outcome.SUCCEEDED)
    verdict = world.store.finish(job_id, Settled(int(kept.fields["run"]), kept.fields["token"], "settler|"), end)
    world.check()
    return verdict


def register(world: World, job_id: str, run: int = 1, facts: dict[str, Any] | None = None) -> None:
    families.keep(world.store, "j", holder(run), "rollback", plan(job_id, facts=facts or {}))


@pytest.mark.parametrize("options", [{}, {"host": "eu"}, {"locks": (Lock("tape"),)}])
@pytest.mark.parametrize("begun", [False, True])
def test_a_child_that_is_submitted_anew_stays_one_and_is_counted_once(
    parent: World, options: dict[str, Any], begun: bool
) -> None:
    spawn(parent, "a")
    finish(parent)
    if begun:
        parent.claim("a")
    parent.submit("a", **options)
    parent.check()
    if begun:
        finish(parent, "a", CHILD_DONE)
    assert parent.record("j")["alive"] == "1"
    parent.claim("a", 2)
    assert finish(parent, "a", CHILD_DONE, 2).settle == ("j",)
    assert conclude(parent).state == "FINISHED"


# -- told to end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["cancel", "time_over"])
@pytest.mark.parametrize("body", ["at work", "done"])
def test_nothing_below_a_job_that_was_told_to_end_starts_any_more(parent: World, verb: str, body: str) -> None:
    spawn(parent, "a")
    parent.claim("a")
    parent.store.create(
        plan("b", up="a", upon="fail", fence="1 tok1", facts={"parent": "a"}, locks=(Lock("tape"),)), "client"
    )
    if body == "done":
        finish(parent)
    parent.store.ask("j", verb, "client")
    claim = parent.claim("b")
    assert (claim.code, claim.state, state(parent, "b")) == ("removing", "REMOVING", "REMOVING")
    assert parent.path("b")[-1][6] == "its parent was told to end"
    assert parent.holds("locks") == set()
    assert parent.claim("b", token="other").code == "removing"
    parent.check()
    assert "started" not in parent.record("b")


def test_what_undoes_a_job_starts_all_the_same(parent: World) -> None:
    register(parent, "undo")
    spawn(parent, "a")
    parent.store.ask("j", "cancel", "client")
    parent.claim("a")
    parent.store.finish("a", Settled(None, "", "w"), End(("confirm_removal",), Outcome.REMOVED))
    finish(parent, end=End(("confirm_cancel",), Outcome.STOPPED))
    assert families.settle(parent.store, "j", "settler", bad=True).publish[0][0] == "undo"
    parent.client.hset(parent.keys.job("j"), "told", "CANCELLING_BY_USER")
    assert run(parent, "undo").code == "ok"


# -- children --------------------------------------------------------------------------------------------------------


def test_its_body_is_done_and_it_waits_without_a_slot(parent: World) -> None:
    assert spawn(parent, "a").state == "QUEUED"
    spawn(parent, "b")
    assert finish(parent).state == "CHILD_QUEUED"
    assert not parent.holds("held", "w1@host|boot1")
    parent.claim("a")
    assert state(parent) == "CHILD_RUNNING"
    parent.claim("b")
    assert finish(parent, "a", CHILD_DONE).settle == ()
    assert state(parent) == "CHILD_RUNNING"
    assert finish(parent, "b", CHILD_DONE).settle == ("j",)
    assert parent.states() == ["QUEUED", "RUNNING", "CHILD_QUEUED", "CHILD_RUNNING", "CHILD_QUEUED"]
    assert conclude(parent).state == "FINISHED"
    assert not parent.client.exists(parent.keys.key("unsettled"))


def test_a_child_that_runs_already_is_seen_when_the_body_ends(parent: World) -> None:
    spawn(parent, "a")
    parent.claim("a")
    assert state(parent) == "RUNNING"
    assert finish(parent).state == "CHILD_RUNNING"


def test_children_that_have_ended_before_the_body_cost_one_look(parent: World) -> None:
    spawn(parent, "a")
    run(parent, "a")
    assert finish(parent) == Verdict("ok", "CHILD_QUEUED", 1, (), ("j",))
    assert conclude(parent).state == "FINISHED"


def test_three_levels_know_what_runs_below(parent: World) -> None:
    spawn(parent, "a")
    parent.claim("a")
    spawn(parent, "aa", up="a")
    finish(parent)
    finish(parent, "a")
    assert (state(parent), state(parent, "a")) == ("CHILD_QUEUED", "CHILD_QUEUED")
    parent.claim("aa")
    parent.check()
    assert (state(parent), state(parent, "a")) == ("CHILD_RUNNING", "CHILD_RUNNING")
    assert finish(parent, "aa", CHILD_DONE).settle == ("a",)
    assert state(parent) == "CHILD_QUEUED"
    assert conclude(parent, "a").settle == ("j",)
    assert conclude(parent).state == "FINISHED"


def test_a_child_that_runs_again_is_still_a_child(parent: World) -> None:
    spawn(parent, "a")
    finish(parent)
    run(parent, "a", End(("fail",), Outcome.FAILED, again=0.0))
    assert state(parent) == "CHILD_QUEUED"
    parent.claim("a", 2)
    assert state(parent) == "CHILD_RUNNING"
    assert finish(parent, "a", CHILD_DONE, 2).settle == ("j",)


@pytest.mark.parametrize("verb", ["suspend", "change_start", "submit"])
def test_a_child_that_is_moved_stays_a_child(parent: World, verb: str) -> None:
    spawn(parent, "a")
    finish(parent)
    if verb == "submit":
        parent.submit("a")
        parent.check()
        assert finish_second(parent, "a").settle == ("j",)
    else:
        act = getattr(parent.store, verb)
        act("a", *([None] if verb == "never" else []), *([parent.now + 50] if verb == "change_start" else []), "client")
        parent.check()
        assert state(parent) == "CHILD_QUEUED"


def finish_second(world: World, job_id: str) -> Verdict:
    world.claim(job_id, 2)
    return finish(world, job_id, CHILD_DONE, 2)


def test_a_removed_child_has_ended(parent: World) -> None:
    spawn(parent, "a")
    finish(parent)
    parent.store.remove("a", "client")
    end = End(("confirm_removal",), Outcome.REMOVED)
    assert parent.store.finish("a", Settled(None, "", "w|"), end).settle == ("j",)
    assert families.look(parent.store, "j").fields["failed"] == "a"


def test_a_child_whose_message_could_not_be_published_is_none(parent: World) -> None:
    given = plan("a", up="j", upon="fail", fence="1 tok1")
    parent.store.create(given, "client", op="op1")
    finish(parent)
    assert parent.store.discard("a", "op1", 1).settle == ("j",)
    parent.check()
    assert families.children(parent.store, "j") == []


@pytest.mark.parametrize(("upon", "failed"), [("fail", True), ("ignore", False), ("abort_siblings", True)])
def test_what_a_failed_child_means(parent: World, upon: str, failed: bool) -> None:
    spawn(parent, "a", upon=upon)
    spawn(parent, "b")
    finish(parent)
    verdict = run(parent, "a", FAILED)
    assert verdict.settle == (("j",) if upon == "abort_siblings" else ())
    kept = families.look(parent.store, "j")
    assert (kept.fields.get("failed") == "a", kept.is_stopped) == (failed, upon == "abort_siblings")


def test_who_spawned_it_has_to_hold_the_run(parent: World) -> None:
    for fence in ("1 other", "2 tok1", ""):
        before = parent.picture()
        with pytest.raises(Fenced):
            spawn(parent, "a", fence=fence)
        assert parent.picture() == before


@pytest.mark.parametrize("verb", ["cancel", "time_over"])
def test_told_to_end_it_gets_no_more_children(parent: World, verb: str) -> None:
    parent.store.ask("j", verb, "client")
    before = parent.picture()
    assert spawn(parent, "a").code == "told"
    assert parent.picture() == before


def test_the_same_child_is_adopted_by_the_next_run_unless_it_failed(parent: World) -> None:
    for job_id in ("alive", "well", "failed"):
        spawn(parent, job_id)
    run(parent, "well")
    run(parent, "failed", FAILED)
    parent.store.finish("j", holder(), End(("abort",), Outcome.FAILED, again=0.0))
    parent.check()
    parent.claim("j", 2)
    codes = [spawn(parent, job_id, fence="2 tok2").code for job_id in ("alive", "well", "failed")]
    assert codes == ["adopted", "adopted", "ok"]
    parent.check()
    assert families.children(parent.store, "j") == ["alive", "well", "failed"]
    assert finish(parent, run=2).state == "CHILD_QUEUED"


def test_there_is_a_most_of_children_and_of_levels(parent: World) -> None:
    parent.client.zadd(parent.keys.key("children", "j"), {f"x{n}": n for n in range(10_000)})
    assert spawn(parent, "a").code == "full"
    parent.client.delete(parent.keys.key("children", "j"))
    up = "j"
    for n in range(100):
        code = spawn(parent, f"d{n}", up=up).code
        if code == "deep":
            break
        parent.claim(up := f"d{n}")
    assert (code, n) == ("deep", 99)


def test_a_body_that_failed_ends_after_its_children(parent: World) -> None:
    spawn(parent, "a")
    assert finish(parent, end=FAILED).state == "CHILD_QUEUED"
    kept = families.look(parent.store, "j")
    assert (kept.is_stopped, kept.alive) == (True, 1)
    parent.store.remove("a", "settler")
    parent.store.finish("a", Settled(None, "", "w|"), End(("confirm_removal",), Outcome.REMOVED))
    assert conclude(parent).state == "ERROR"


def test_a_worker_that_vanished_leaves_its_children_to_whoever_settles_it(parent: World) -> None:
    spawn(parent, "a")
    assert finish(parent, end=End(("abort",), Outcome.FAILED, "vanished")).state == "CHILD_QUEUED"
    run(parent, "a")
    assert conclude(parent, end=End(("abort",), Outcome.FAILED)).state == "ABORTED"


def test_whose_end_is_kept_can_be_ended_by_nobody_else(parent: World) -> None:
    spawn(parent, "a")
    finish(parent)
    before = parent.picture()
    for who in (holder(), Settled(1, "", "w1@host|boot1"), Settled(1, "forged", "")):
        with pytest.raises(Fenced):
            parent.store.finish("j", who, FAILED)
    assert parent.picture() == before


def test_aborting_a_parent_that_waits_needs_no_worker_and_calls_on_its_family(parent: World) -> None:
    spawn(parent, "a")
    finish(parent)
    verdict = parent.store.ask("j", "cancel", "client")
    assert (verdict.state, verdict.settle) == ("CANCELLING_BY_USER", ("j",))
    assert families.look(parent.store, "j").is_stopped
    parent.check()
    assert not parent.client.keys(parent.keys.key("orders", "*"))
    parent.store.remove("a", "settler")
    parent.store.finish("a", Settled(None, "", "w|"), End(("confirm_removal",), Outcome.REMOVED))
    assert conclude(parent, end=End(("confirm_cancel",), Outcome.STOPPED)).state == "CANCELLED"


def test_families_nobody_looked_at_are_handed_out_one_at_a_time(parent: World) -> None:
    spawn(parent, "a")
    finish(parent)
    assert families.unsettled(parent.store) == []
    parent.advance(5_000)
    assert families.unsettled(parent.store) == ["j"]
    assert families.unsettled(parent.store) == []
    parent.advance(5_000)
    assert families.unsettled(parent.store) == ["j"]


def test_what_the_body_sent_by_canvas_is_in_the_tree_and_holds_up_nobody(parent: World) -> None:
    spawn(parent, "a")
    parent.store.create(plan("sent", facts={"parent": "j"}), "client")
    finish(parent)
    run(parent, "a")
    tree = families.tree(parent.store, "j")
    assert [(depth, one.job.id, one.kind) for depth, one in tree.walk()] == [
        (0, "j", ""), (1, "a", "child"), (1, "sent", "canvas"),
    ]  # fmt: skip
    assert conclude(parent).state == "FINISHED"


def test_nothing_of_a_family_is_left_when_all_have_expired(parent: World) -> None:
    spawn(parent, "a")
    parent.store.create(plan("sent", facts={"parent": "j"}), "client")
    register(parent, "undo")
    finish(parent)
    run(parent, "a")
    conclude(parent)
    run(parent, "sent")
    parent.advance(10**9)
    parent.store.prune()
    left = {key.decode().removeprefix(parent.keys.base) for key in parent.client.keys("*")}
    assert left <= {"clock", "reached", "deadlines", "outbox", "retention", "gone:1"}


# -- locks in families ---------------------------------------------------------------------------------------------


def test_a_childs_locks_come_after_those_of_its_parents(world: World) -> None:
    world.submit(locks=checked("locks", ["b"]))
    world.claim()
    for wrong in ("a", "b"):
        before = world.picture()
        assert spawn(world, "x", locks=checked("locks", [wrong])).code == "order"
        assert world.picture() == before
    assert spawn(world, "x", locks=checked("locks", ["c"])).state == "QUEUED"


def test_who_works_for_a_holder_goes_before_those_who_may_wait_for_it(world: World) -> None:
    world.submit(locks=checked("locks", ["b"]))
    world.claim()
    world.submit("other", locks=checked("locks", ["c"]))
    world.submit("first", locks=checked("locks", ["b", "c"]))
    spawn(world, "x", locks=(Lock("c"),))
    finish(world)
    world.claim("other")
    verdict = finish(world, "other", CHILD_DONE)
    # The first in line waits for b, and so for x: had x to wait behind it, both would for ever.
    assert [job for job, _, _ in verdict.publish] == ["x"]


# -- rollback ----------------------------------------------------------------------------------------------------------


def test_compensations_run_newest_first_before_the_end_and_the_locks_go_then(world: World) -> None:
    world.submit(locks=(Lock("a"),))
    world.submit("next", locks=(Lock("a"),))
    world.claim()
    for n in range(3):
        register(world, f"undo{n}")
    assert finish(world, end=FAILED).state == "ROLLING_BACK"
    done = []
    for _ in range(3):
        (started,) = families.settle(world.store, "j", "settler", bad=True).publish
        done.append(started[0])
        world.check()
        assert families.settle(world.store, "j", "settler", bad=True).code == "wait"
        assert state(world, "next") == "WAITING_FOR_LOCK"
        assert run(world, started[0]).settle == ("j",)
    assert done == ["undo2", "undo1", "undo0"]
    verdict = conclude(world)
    assert (verdict.state, [job for job, _, _ in verdict.publish]) == ("ERROR", ["next"])


def test_success_discards_them(parent: World) -> None:
    register(parent, "undo")
    assert finish(parent, end=CHILD_DONE).state == "FINISHED"
    assert not parent.client.exists(parent.keys.key("rollback", "j"))


def test_a_restart_keeps_them_and_registers_none_twice(parent: World) -> None:
    register(parent, "undo0")
    register(parent, "undo1")
    parent.store.finish("j", holder(), End(("fail",), Outcome.FAILED, again=0.0))
    assert state(parent) == "QUEUED"
    parent.claim("j", 2)
    register(parent, "undo0", 2)
    assert parent.client.llen(parent.keys.key("rollback", "j")) == 2
    with pytest.raises(Fenced):
        register(parent, "undo2", 1)


def test_removed_between_two_runs_it_is_rolled_back_too(parent: World) -> None:
    register(parent, "undo")
    parent.store.finish("j", holder(), End(("fail",), Outcome.FAILED, again=60.0))
    parent.store.remove("j", "client")
    end = End(("confirm_removal",), Outcome.REMOVED)
    assert parent.store.finish("j", Settled(None, "", "w|"), end).state == "ROLLING_BACK"
    families.settle(parent.store, "j", "settler", bad=True)
    run(parent, "undo")
    assert conclude(parent, end=end).state == "REMOVED"


def test_one_that_fails_is_recorded_and_the_rest_run(parent: World) -> None:
    register(parent, "undo0")
    register(parent, "undo1")
    finish(parent, end=FAILED)
    families.settle(parent.store, "j", "settler", bad=True)
    assert run(parent, "undo1", FAILED).settle == ("j",)
    families.settle(parent.store, "j", "settler", bad=True)
    run(parent, "undo0")
    conclude(parent)
    assert parent.record()["uncompensated"] == "undo1"
    assert "failed" not in parent.record()


def test_there_is_a_most_of_them(parent: World) -> None:
    for n in range(100):
        register(parent, f"undo{n}")
    with pytest.raises(CannotSpawn, match="100"):
        register(parent, "undo100")


def test_children_come_before_compensations(parent: World) -> None:
    register(parent, "undo")
    spawn(parent, "a")
    assert finish(parent, end=FAILED).state == "CHILD_QUEUED"
    assert families.settle(parent.store, "j", "settler", bad=True).code == "wait"
    run(parent, "a")
    assert families.settle(parent.store, "j", "settler", bad=True).publish[0][0] == "undo"
    assert state(parent) == "ROLLING_BACK"
    with pytest.raises(IllegalTransition):
        parent.store.ask("j", "cancel", "client")


def test_the_continuation_runs_after_all_children(parent: World) -> None:
    families.keep(parent.store, "j", holder(), "then", plan("after"))
    spawn(parent, "a")
    finish(parent)
    assert run(parent, "a").settle == ("j",)
    assert families.settle(parent.store, "j", "settler", bad=False).publish[0][0] == "after"
    assert State(state(parent)) is State.CHILD_QUEUED
    run(parent, "after")
    assert conclude(parent).state == "FINISHED"

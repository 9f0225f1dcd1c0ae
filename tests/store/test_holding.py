"""Ended jobs that are held back: pinned, to be kept until they are read, or of a family that lives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jobkit.errors import JobExpired
from jobkit.states import Outcome, State
from jobkit.store import End, Limits, Settled
from tests.store.test_retention import DONE, KEEP, end, left
from tests.store.world import World, holder, reader, when

LEAST = Limits().least
DAY = 86_400_000


def settle(world: World, urgent: bool = False) -> None:
    """What every worker does twice a second."""
    world.store.let_go()
    world.store.prune(urgent=urgent)
    world.check()


def left_after(world: World, ms: int) -> set[str]:
    """The jobs there are once so much time has passed and retention has been round."""
    world.advance(ms)
    settle(world)
    return left(world)


def start(world: World, job_id: str, **options: Any) -> None:
    world.submit(job_id, **options)
    world.claim(job_id)


def finish(world: World, job_id: str, how: End = DONE) -> None:
    world.advance(1)
    world.store.finish(job_id, holder(), how)


# -- pins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["pinned", "ended"])
def test_a_pinned_job_stays_as_long_as_the_pin(world: World, first: str) -> None:
    start(world, "j", owner="a")
    if first == "pinned":
        assert world.store.pin("me", KEEP / 1000 + 100, ["j"]) == {}
    finish(world, "j")
    if first == "ended":
        assert world.store.pin("me", KEEP / 1000 + 100, ["j"]) == {}
    world.check()
    assert world.client.pttl(world.keys.job("j")) == -1
    world.advance(KEEP + 50_000)
    settle(world, urgent=True)
    assert left(world) == {"j"}
    world.advance(50_000)
    settle(world)
    assert left(world) == set()
    assert world.client.keys(world.keys.base + "pin*") == []


def test_a_pinned_job_takes_no_room_and_is_no_victim(world: World) -> None:
    world.store.limits = Limits(jobs=5, least=0)
    end(world, "old")
    world.store.pin("me", 1000, ["old"])
    for n in range(20):
        end(world, f"j{n}")
    settle(world, urgent=True)
    assert left(world) == {"old"}


def test_a_job_that_is_let_go_takes_its_place_again(world: World) -> None:
    end(world, "j", owner="a")
    world.store.pin("me", 1000, ["j"])
    world.advance(1000)
    assert world.store.unpin("me", ["j"]) == 1
    world.check()
    assert world.holds("ended", "a") == {"j"}
    assert 0 < world.client.pttl(world.keys.job("j")) <= KEEP + 60_000
    assert left_after(world, KEEP) == set()


def test_it_stays_until_the_last_of_those_who_pinned_it_lets_go(world: World) -> None:
    end(world, "j")
    world.store.pin("me", 400, ["j"])
    world.store.pin("you", 500, ["j"])
    assert world.store.unpin("you", ["j"]) == 1
    assert world.store.unpin("you", ["j"]) == 0
    world.check()
    world.advance(399_000)
    settle(world)
    assert left(world) == {"j"}
    world.advance(1_000)
    settle(world)
    assert left(world) == set()


def test_a_pin_is_renewed_by_its_pinner(world: World) -> None:
    end(world, "j")
    for _ in range(10):
        world.store.pin("me", 60, ["j"])
        world.advance(59_000)
        settle(world)
    assert left(world) == {"j"}
    world.advance(1_000)  # the pinner has died
    settle(world)
    assert left(world) == set()


def test_pins_are_bounded_per_owner(world: World) -> None:
    world.store.limits = replace(world.store.limits, pins=2)
    for n in range(3):
        world.submit(f"a{n}", owner="a")
    world.submit("b", owner="b")
    assert world.store.pin("me", 60, ["a0", "a1", "a2", "b", "nobody"]) == {"a2": "full", "nobody": "missing"}
    assert world.store.pin("you", 60, ["a0"]) == {}
    world.store.unpin("me", ["a1"])
    assert world.store.pin("me", 60, ["a2"]) == {}
    world.advance(60_000)
    settle(world)
    assert world.client.exists(world.keys.key("pinners")) == 0


def test_a_pinned_id_that_is_used_again_stays_pinned(world: World) -> None:
    end(world, "j", owner="a")
    world.store.pin("me", 10_000, ["j"])
    world.submit("j", owner="b")
    world.claim("j", 2)
    world.store.finish("j", holder(2), DONE)
    world.advance(KEEP)
    settle(world, urgent=True)
    assert left(world) == {"j"}


def test_a_pinned_job_that_is_forgotten_is_gone(world: World) -> None:
    end(world, "j")
    world.store.pin("me", 1000, ["j"])
    world.store.forget("j")
    world.check()
    assert world.client.keys(world.keys.base + "pin*") == []


# -- until it is read ----------------------------------------------------------------------------------------------


def test_a_job_is_kept_until_it_is_read_and_then_its_time(world: World) -> None:
    start(world, "j", keep=1_000, until_read=True)
    finish(world, "j")
    world.advance(DAY // 2)
    settle(world, urgent=True)
    assert reader(world).get("j").state is State.FINISHED
    assert reader(world).get("j").expires_at == when(1 + DAY // 2 + 1_000)
    settle(world)
    assert left(world) == {"j"}
    world.advance(1_000)
    settle(world)
    assert left(world) == set()


def test_looking_at_it_before_its_end_is_no_reading(world: World) -> None:
    start(world, "j", keep=1_000, until_read=True)
    reader(world).get("j")
    finish(world, "j")
    world.advance(60_000)
    settle(world)
    assert left(world) == {"j"}


def test_a_job_nobody_reads_goes_after_a_day(world: World) -> None:
    start(world, "j", until_read=True)
    finish(world, "j")
    world.advance(DAY)
    settle(world)
    assert left(world) == set()


def test_a_job_may_say_itself_how_long_it_is_kept(world: World) -> None:
    for job_id, keep in (("long", 10 * KEEP), ("short", 1_000), ("none", 0)):
        start(world, job_id, keep=keep)
        finish(world, job_id)
    assert reader(world).get("long").expires_at == when(1 + 10 * KEEP)
    for later, there in ((0, {"long", "short"}), (1_000, {"long"}), (10 * KEEP, set())):
        world.advance(later)
        settle(world)
        assert left(world) == there


# -- families ------------------------------------------------------------------------------------------------------


def test_none_of_a_group_goes_before_the_last_has_ended_and_its_time_counts_from_then(world: World) -> None:
    ids = [f"g{n}" for n in range(10)]
    for job_id in ids:
        start(world, job_id, kin="group", owner="a")
    for job_id in ids[:9]:
        finish(world, job_id)
    world.advance(100 * KEEP)
    world.store.limits = Limits(jobs=1, least=LEAST)
    settle(world, urgent=True)
    assert left(world) == set(ids)
    assert all(world.client.pttl(world.keys.job(job_id)) == -1 for job_id in ids)
    world.store.limits = Limits()
    finish(world, ids[9])
    ended = world.now
    world.advance(LEAST)
    settle(world)
    assert {int(world.record(job_id)["expires"]) for job_id in ids} == {ended + KEEP}
    world.advance(KEEP - LEAST - 1)
    settle(world)
    assert left(world) == set(ids)
    world.advance(1)
    settle(world)
    assert left(world) == set()
    assert world.client.keys(world.keys.base + "*amil*") + world.client.keys(world.keys.base + "kin*") == []


def test_ten_thousand_of_a_group_are_all_there_after_its_end(world: World) -> None:
    """Ten thousand are more than the cap: none is missed within the least time after the last end."""
    ids = [f"g{n}" for n in range(2_000)]
    world.store.limits = Limits(jobs=500)
    for job_id in ids:
        start(world, job_id, kin="group")
    for job_id in ids:
        world.store.finish(job_id, holder(), DONE)
    world.advance(LEAST - 1)
    settle(world)
    assert all(reader(world).get(job_id).state is State.FINISHED for job_id in ids)
    world.advance(1)
    while world.store.let_go():
        pass
    while sum(world.store.prune()):
        pass
    assert len(left(world)) == 500
    world.check()


def test_a_group_that_is_still_being_submitted_is_not_over(world: World) -> None:
    """Its first jobs may end before the next ones are submitted."""
    for n in range(5):
        start(world, f"g{n}", kin="group")
        finish(world, f"g{n}", DONE._replace(keep=40_000))
        world.advance(LEAST - 1_000)
        settle(world)
    assert left(world) == {f"g{n}" for n in range(5)}
    world.advance(40_000)
    settle(world)
    assert left(world) == set()


def test_a_tree_is_one_family_root_and_all(world: World) -> None:
    start(world, "root")
    for child in ("c1", "c2"):
        start(world, child, kin="root")
    start(world, "grandchild", kin="root")
    for job_id in ("root", "c1", "c2"):
        finish(world, job_id)
    assert left_after(world, 10 * KEEP) == {"root", "c1", "c2", "grandchild"}
    finish(world, "grandchild")
    assert left_after(world, KEEP) == set()


def test_of_a_chain_the_first_has_ended_when_the_next_is_submitted(world: World) -> None:
    end(world, "a", owner="x")
    start(world, "b", kin="a")
    world.check()
    assert left_after(world, 10 * KEEP) == {"a", "b"}
    finish(world, "b")
    start(world, "c", kin="a")
    world.advance(10 * KEEP)
    settle(world)
    finish(world, "c")
    assert left_after(world, KEEP) == set()


def test_the_body_of_a_chord_is_of_the_family_of_its_header(world: World) -> None:
    for n in range(3):
        start(world, f"h{n}", kin="group")
        finish(world, f"h{n}")
    start(world, "body", kin="h2")
    assert world.record("body")["retain"] == "||group"
    assert left_after(world, 10 * KEEP) == {"h0", "h1", "h2", "body"}
    finish(world, "body")
    assert left_after(world, KEEP) == set()


def test_a_member_that_runs_again_is_waited_for(world: World) -> None:
    start(world, "g0", kin="group")
    world.submit("g1", kin="group")
    world.submit("g1", kin="group")  # replaced: one that lives, as before
    world.claim("g1", 2)
    finish(world, "g0")
    world.submit("g1", kin="group", keep=7)  # its next run
    world.store.finish("g1", holder(2), End(("fail",), Outcome.FAILED))
    assert left_after(world, KEEP) == {"g0", "g1"}
    world.claim("g1", 3)
    world.store.finish("g1", holder(3), DONE)
    assert world.client.hgetall(world.keys.key("family", "group"))[b"live"] == b"0"
    assert left_after(world, KEEP) == set()


def test_an_ended_member_that_is_submitted_anew_lives_again(world: World) -> None:
    for job_id in ("g0", "g1"):
        start(world, job_id, kin="group")
    finish(world, "g0")
    world.submit("g0", kin="group")
    finish(world, "g1")
    assert left_after(world, KEEP) == {"g0", "g1"}
    world.claim("g0", 2)
    world.store.finish("g0", holder(2), DONE)
    world.advance(KEEP)
    settle(world)
    settle(world)
    assert left(world) == set()


def test_a_member_whose_message_could_not_be_published_is_not_waited_for(world: World) -> None:
    start(world, "g0", kin="group")
    finish(world, "g0")
    verdict = world.submit("g1", kin="group", op="op1")
    world.store.discard("g1", "op1", verdict.run)
    assert left_after(world, KEEP) == set()


def test_a_removed_member_is_not_waited_for(world: World) -> None:
    start(world, "g0", kin="group")
    world.submit("g1", kin="group")
    finish(world, "g0")
    world.store.remove("g1", "client")
    world.store.finish("g1", Settled(None, "", "w|"), DONE._replace(verbs=("confirm_removal",)))
    assert left_after(world, KEEP) == set()


def test_a_pinned_member_outlives_its_family(world: World) -> None:
    for job_id in ("g0", "g1"):
        start(world, job_id, kin="group")
        finish(world, job_id)
    world.store.pin("me", 10 * KEEP / 1000, ["g0"])
    assert left_after(world, KEEP) == {"g0"}
    world.store.unpin("me", ["g0"])
    settle(world)
    assert left(world) == set()


def test_a_forgotten_member_is_gone_and_the_others_wait_on(world: World) -> None:
    for job_id in ("g0", "g1", "g2"):
        start(world, job_id, kin="group")
    finish(world, "g0")
    finish(world, "g1")
    world.store.forget("g0")
    with pytest.raises(JobExpired):
        reader(world).get("g0")
    finish(world, "g2")
    assert left_after(world, KEEP) == set()


def test_a_tree_that_never_ends_does_not_keep_all_it_ever_was(world: World) -> None:
    """A task that submits itself again and again is one tree, for ever."""
    end(world, "j0")
    for n in range(1, 30):
        start(world, f"j{n}", kin="j0")
        if n > 1:
            finish(world, f"j{n - 1}")
        world.advance(DAY // 10)
        settle(world)
        assert len(left(world)) <= 13

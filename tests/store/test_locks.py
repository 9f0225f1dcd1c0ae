"""Named locks: all or none, first come first served, held over restarts, free in the transition that ends the job."""

from __future__ import annotations

from typing import Any

import pytest

from jobkit import InvalidOption
from jobkit.locks import Lock, Rate, Semaphore, checked, from_text, to_text
from jobkit.states import Outcome
from jobkit.store import End, Settled, locks
from tests.store.world import MESSAGE, NOW, World, holder

DONE = End(("finish",), Outcome.SUCCEEDED)
FAILED = End(("fail",), Outcome.FAILED, "no luck")
SHARED = Lock("a", shared=True)


def submit(world: World, job_id: str, *wanted: str | Lock, **options: Any) -> str:
    return world.submit(job_id, locks=checked("locks", wanted), **options).state


def end(world: World, job_id: str, how: End = DONE, run: int = 1) -> list[str]:
    """Run a queued job; returns who may go then."""
    assert world.claim(job_id, run).code == "ok"
    verdict = world.store.finish(job_id, holder(run), how)
    world.check()
    return [job for job, _, _ in verdict.publish if job != job_id]


def held(world: World) -> dict[str, list[str]]:
    return {one.name: sorted(one.holders) for one in locks.listing(world.store)}


def state(world: World, job_id: str) -> str:
    return world.record(job_id)["state"]


def test_the_first_has_it_the_second_waits_and_goes_when_that_ends(world: World) -> None:
    assert submit(world, "one", "a") == "QUEUED"
    assert submit(world, "two", "a") == "WAITING_FOR_LOCK"
    world.check()
    (found,) = locks.listing(world.store)
    assert (found.name, found.holders, found.waiters) == ("a", {"one": 1}, ("two",))
    assert world.store.client.zcard(world.keys.key("outbox")) == 0
    assert end(world, "one") == ["two"]
    assert world.path("two")[-1][6] == "lock a is free"
    assert end(world, "two") == []
    assert locks.listing(world.store) == ()
    assert not world.store.client.exists(*(world.keys.key(kind, "a") for kind in ("lock", "waiters")))


@pytest.mark.parametrize("how", [DONE, FAILED, End(("abort",), Outcome.FAILED)])
def test_however_it_ends_the_lock_is_free_in_that_transition(world: World, how: End) -> None:
    submit(world, "one", "a")
    submit(world, "two", "a")
    assert end(world, "one", how) == ["two"]
    assert held(world) == {"a": ["two"]}


def test_all_or_none(world: World) -> None:
    submit(world, "one", "a")
    assert submit(world, "two", "a", "b") == "WAITING_FOR_LOCK"
    assert held(world) == {"a": ["one"], "b": []}
    assert end(world, "one") == ["two"]
    assert held(world) == {"a": ["two"], "b": ["two"]}


def test_nobody_passes_who_came_first(world: World) -> None:
    submit(world, "one", "a")
    submit(world, "two", "a", "b")
    # b is free, but two came first.
    assert submit(world, "three", "b") == "WAITING_FOR_LOCK"
    world.check()
    assert end(world, "one") == ["two"]
    assert end(world, "two") == ["three"]


def test_who_waits_for_something_else_is_not_held_up(world: World) -> None:
    submit(world, "one", "a")
    submit(world, "two", "a")
    assert submit(world, "three", "c") == "QUEUED"


def test_one_end_lets_several_go_in_their_order(world: World) -> None:
    submit(world, "one", "a", "b", "c")
    for job_id, name in (("two", "c"), ("three", "a"), ("four", "b"), ("five", "c")):
        submit(world, job_id, name)
    assert sorted(end(world, "one")) == ["four", "three", "two"]
    assert state(world, "five") == "WAITING_FOR_LOCK"


def test_sharers_share_and_an_exclusive_one_is_not_starved_by_them(world: World) -> None:
    assert [submit(world, f"s{n}", SHARED) for n in range(2)] == ["QUEUED", "QUEUED"]
    assert submit(world, "alone", "a") == "WAITING_FOR_LOCK"
    assert [submit(world, f"late{n}", SHARED) for n in range(2)] == ["WAITING_FOR_LOCK"] * 2
    assert end(world, "s0") == []
    assert end(world, "s1") == ["alone"]
    assert end(world, "alone") == ["late0", "late1"]
    assert locks.listing(world.store)[0].shared


def test_a_sharer_passes_sharers_that_wait_for_something_else(world: World) -> None:
    submit(world, "one", "b")
    submit(world, "two", SHARED, "b")
    assert submit(world, "three", SHARED) == "QUEUED"


def test_a_semaphore_has_so_many_holders(world: World) -> None:
    three = [submit(world, f"j{n}", Semaphore("a", most=2)) for n in range(3)]
    assert three == ["QUEUED", "QUEUED", "WAITING_FOR_LOCK"]
    assert end(world, "j0") == ["j2"]
    assert held(world) == {"a": ["j1", "j2"]}


def test_a_rate_lets_so_many_go_in_any_period(world: World) -> None:
    rate = Rate("mail", most=2, per=10)
    assert submit(world, "j0", rate) == "QUEUED"
    world.advance(4_000)
    assert [submit(world, f"j{n}", rate) for n in (1, 2, 3)] == ["QUEUED", "WAITING_FOR_LOCK", "WAITING_FOR_LOCK"]
    world.check()
    world.advance(5_999)
    assert locks.grant(world.store, "keeper") == 0
    world.advance(1)
    assert locks.grant(world.store, "keeper") == 1
    assert (state(world, "j2"), state(world, "j3")) == ("QUEUED", "WAITING_FOR_LOCK")
    world.advance(4_000)
    assert locks.grant(world.store, "keeper") == 1
    assert state(world, "j3") == "QUEUED"
    assert {job for job, _, _ in world.store.take("keeper")[1]} == {"j2", "j3"}
    world.advance(20_000)
    assert not world.store.client.exists(world.keys.key("openings"))


def test_a_rate_is_not_given_back_and_counts_every_run(world: World) -> None:
    submit(world, "one", Rate("mail", most=1, per=10))
    world.claim("one")
    world.store.finish("one", holder(), End(("fail",), Outcome.FAILED, again=0.0))
    assert state(world, "one") == "WAITING_FOR_LOCK"
    world.advance(10_000)
    locks.grant(world.store, "keeper")
    assert state(world, "one") == "QUEUED"


def test_it_is_held_over_restarts_of_the_same_job(world: World) -> None:
    submit(world, "one", "a")
    submit(world, "two", "a")
    world.claim("one")
    fence = world.store.fence("one")
    world.store.finish("one", holder(), End(("fail",), Outcome.FAILED, again=60.0))
    assert (state(world, "one"), held(world)) == ("WAITING_FOR_START", {"a": ["one"]})
    world.advance(60_000)
    world.store.take("keeper")
    assert (state(world, "one"), world.store.fence("one")) == ("QUEUED", fence)
    assert end(world, "one", run=2) == ["two"]
    assert world.store.fence("two") > fence  # type: ignore[operator]


def test_paused_it_keeps_what_it_works_on(world: World) -> None:
    submit(world, "one", "a")
    world.claim("one")
    world.store.finish("one", holder(), End(("finish",), Outcome.STOPPED, paused=True))
    assert (state(world, "one"), held(world)) == ("SUSPENDED", {"a": ["one"]})
    assert world.store.change_start("one", None, "client").state == "QUEUED"
    world.check()


def test_its_next_run_that_is_given_something_else_keeps_what_it_works_on(world: World) -> None:
    submit(world, "one", "a")
    world.claim("one")
    assert world.submit("one", host="eu").code == "next"
    world.store.finish("one", holder(), FAILED)
    assert (state(world, "one"), sorted(world.record("one")["bonds"])) == ("QUEUED", ["H", "L"])
    assert submit(world, "two", "a") == "WAITING_FOR_LOCK"
    assert end(world, "one", run=2) == ["two"]
    world.check()


def test_who_kept_its_locks_is_not_behind_who_waits_for_them(world: World) -> None:
    rate = Rate("r", 1, 60)
    submit(world, "one", "a", rate)
    world.claim("one")
    assert submit(world, "two", "a", rate) == "WAITING_FOR_LOCK"
    world.advance(30_000)
    world.store.finish("one", holder(), End(("fail",), Outcome.FAILED, again=0.0))
    assert (state(world, "one"), held(world)["a"]) == ("WAITING_FOR_LOCK", ["one"])
    world.advance(30_000)
    locks.grant(world.store, "keeper")
    assert (state(world, "one"), state(world, "two")) == ("QUEUED", "WAITING_FOR_LOCK")
    assert end(world, "one", run=2) == []
    world.advance(60_000)
    locks.grant(world.store, "keeper")
    assert state(world, "two") == "QUEUED"
    world.check()


def move(world: World, verb: str, job_id: str) -> None:
    """Move a job that has not begun to where it does not work."""
    if verb == "submit":
        world.submit(job_id)
    elif verb == "change_start":
        world.store.change_start(job_id, NOW + 60_000, "client")
    else:
        getattr(world.store, verb)(job_id, "client")


@pytest.mark.parametrize("verb", ["suspend", "change_start", "remove", "submit"])
def test_moved_before_it_began_it_lets_go(world: World, verb: str) -> None:
    submit(world, "one", "a")
    submit(world, "two", "a")
    move(world, verb, "one")
    assert held(world) == {"a": ["two"]}
    assert state(world, "two") == "QUEUED"
    world.check()


@pytest.mark.parametrize("verb", ["suspend", "change_start", "remove", "submit"])
def test_moved_while_it_waits_it_holds_up_nobody(world: World, verb: str) -> None:
    submit(world, "one", "a")
    submit(world, "two", "a", "b")
    submit(world, "three", "b")
    move(world, verb, "two")
    assert state(world, "three") == "QUEUED"
    world.check()


def test_woken_it_waits_at_the_end_of_the_line(world: World) -> None:
    submit(world, "one", "a")
    submit(world, "two", "a")
    world.store.suspend("two", "client")
    submit(world, "three", "a")
    assert world.store.change_start("two", None, "client").state == "WAITING_FOR_LOCK"
    assert world.store.change_start("two", None, "client").state == "WAITING_FOR_LOCK"
    world.check()
    assert end(world, "one") == ["three"]


def test_its_start_and_the_job_before_it_come_first(world: World) -> None:
    submit(world, "one", "a")
    assert submit(world, "later", "a", start=NOW + 50) == "WAITING_FOR_START"
    assert submit(world, "behind", "a", after="one") == "WAITING_FOR_PREDECESSOR"
    world.advance(50)
    world.store.take("keeper")
    assert state(world, "later") == "WAITING_FOR_LOCK"
    world.check()
    # It was in line when the other came to it.
    assert end(world, "one") == ["later"]
    assert state(world, "behind") == "WAITING_FOR_LOCK"
    assert end(world, "later") == ["behind"]


def test_a_next_run_submitted_with_other_locks_holds_those(world: World) -> None:
    submit(world, "one", "a")
    submit(world, "two", "a")
    world.claim("one")
    submit(world, "one", "b")
    world.store.finish("one", holder(), FAILED)
    assert held(world) == {"a": ["two"], "b": ["one"]}
    world.check()


def test_a_submission_that_could_not_be_published_holds_nothing(world: World) -> None:
    submit(world, "one", "a", op="op1")
    submit(world, "two", "a")
    assert [job for job, _, _ in world.store.discard("one", "op1", 1).publish] == ["two"]
    assert held(world) == {"a": ["two"]}


def test_more_waiters_than_one_call_looks_at_all_go(world: World) -> None:
    submit(world, "one", "a")
    for n in range(450):
        submit(world, f"s{n}", SHARED)
    end(world, "one")
    while locks.grant(world.store, "keeper"):
        pass
    assert len(world.holds("state", "QUEUED")) == 450
    assert world.holds("outbox") == {f"s{n}" for n in range(450)}
    world.check()


def test_a_removed_job_in_line_ends_and_lets_go(world: World) -> None:
    submit(world, "one", "a")
    submit(world, "two", "a")
    assert world.store.remove("two", "client").publish == (("two", 1, MESSAGE),)
    world.store.finish("two", Settled(None, "", "w|"), End(("confirm_removal",), Outcome.REMOVED))
    world.check()


def test_what_is_declared_is_checked_where_it_is_said() -> None:
    for wrong in ("", "a\nb", "x" * 129, 7):
        with pytest.raises(InvalidOption, match="name"):
            checked("locks", [wrong])  # type: ignore[list-item]
    with pytest.raises(InvalidOption, match="two ways"):
        checked("locks", ["a", SHARED])
    with pytest.raises(InvalidOption, match="16"):
        checked("locks", map(str, range(17)))
    with pytest.raises(InvalidOption, match="most"):
        Semaphore("a", most=0)
    with pytest.raises(InvalidOption, match="per"):
        Rate("a", per=0)
    every = (Lock("a b"), SHARED, Semaphore("é", most=3), Rate("m", most=2, per=0.5))
    assert from_text(to_text(every)) == every


def test_who_takes_nothing_from_those_before_him_may_pass(world: World) -> None:
    hands = Semaphore("hands", 3)
    submit(world, "one", "a", hands)
    assert submit(world, "two", "a", hands) == "WAITING_FOR_LOCK"
    # One works, one is before: the third hand is free for both of them and him.
    assert submit(world, "three", hands) == "QUEUED"
    assert submit(world, "four", hands) == "WAITING_FOR_LOCK"
    world.check()
    assert end(world, "three") == ["four"]
    assert end(world, "one") == ["two"]

"""A run plans its own next one (a retry) only for as long as it is its job's run."""

from __future__ import annotations

import pytest

from jobkit.errors import Fenced
from jobkit.states import Outcome
from jobkit.store import End, Settled
from tests.store.world import World, holder, plan

GONE = End(("abort",), Outcome.FAILED, "its worker vanished", again=0.0)


def running(world: World) -> None:
    world.submit()
    world.claim()


def test_its_next_run_is_kept(world: World) -> None:
    running(world)
    assert world.store.create(plan(token="tok1"), "w1").code == "next"


def test_a_run_that_was_taken_over_plans_nothing(world: World) -> None:
    running(world)
    world.store.finish("j", holder(), GONE)
    world.claim(run=2)
    before = world.picture()
    with pytest.raises(Fenced):
        world.store.create(plan(token="tok1"), "w1")
    assert world.picture() == before


@pytest.mark.parametrize("over", [True, False])
def test_nor_does_one_whose_job_is_over(world: World, over: bool) -> None:
    running(world)
    world.store.finish("j", holder(), End(("finish",), Outcome.SUCCEEDED))
    if not over:
        world.store.forget("j")
    before = world.picture()
    with pytest.raises(Fenced):
        world.store.create(plan(token="tok1"), "w1")
    assert world.picture() == before


REPLACED = End(("finish",), Outcome.STOPPED, "replaced", replaced=True)


def test_a_run_that_was_replaced_waits_for_what_goes_on_under_its_id(world: World) -> None:
    running(world)
    assert world.store.finish("j", holder(), REPLACED).publish == ()
    assert world.states()[2:] == ["FINISHED", "RESCHEDULED", "SUSPENDED"]
    assert world.submit().code == "ok"
    assert world.states()[5:] == ["REPLACED", "QUEUED"]
    assert world.claim(run=3).code == "ok"
    world.check()


def test_and_goes_on_at_once_where_that_came_before_its_end(world: World) -> None:
    running(world)
    world.submit()
    assert [run for _, run, _ in world.store.finish("j", holder(), REPLACED).publish] == [2]
    assert world.states()[2:] == ["FINISHED", "RESCHEDULED", "QUEUED"]
    world.check()


def test_it_fails_with_what_goes_on_under_its_id(world: World) -> None:
    running(world)
    world.store.finish("j", holder(), REPLACED)
    world.store.finish("j", Settled(None, "", "w9"), End(("?enqueue", "?claim", "fail"), Outcome.FAILED, "of a chord"))
    assert world.states()[4:] == ["SUSPENDED", "QUEUED", "RUNNING", "ERROR"]
    world.check()

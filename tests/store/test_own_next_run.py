"""A run plans its own next one (a retry) only for as long as it is its job's run."""

from __future__ import annotations

import pytest

from jobkit.errors import Fenced
from jobkit.states import Outcome
from jobkit.store import End
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

"""Priorities: learned from what has run, and raised by age, in the store."""

from __future__ import annotations

import pytest

from jobkit import InvalidOption, Policy
from jobkit.priorities import HIGH, LONG, NORMAL, SHORT, checked, for_broker, level
from jobkit.states import Outcome
from jobkit.store import End, priorities
from tests.store.world import MESSAGE, World, holder


def run(world: World, job_id: str, ms: int) -> None:
    world.submit(job_id)
    world.claim(job_id)
    world.advance(ms)
    world.store.finish(job_id, holder(), End(("finish",), Outcome.SUCCEEDED))


def test_what_runs_take_is_learned_and_the_newest_count_most(world: World) -> None:
    run(world, "a", 1_000)
    assert priorities.learn(world.store) == 1
    assert priorities.expected(world.store) == {"shop.pack": 1.0}
    assert priorities.learn(world.store) == 0
    run(world, "b", 2_000)
    assert priorities.learn(world.store) == 1
    assert priorities.expected(world.store) == {"shop.pack": 1.2}


def test_who_has_waited_long_is_raised_step_by_step(world: World) -> None:
    world.submit("a", facts={"level": LONG, "priority": LONG})
    world.submit("b", facts={"level": HIGH, "priority": HIGH})
    world.submit("c")
    world.store.published(["a", "b", "c"])
    world.advance(60_000)
    (old,) = priorities.waiting(world.store, 60)
    assert old == ("a", 1, LONG, MESSAGE)
    assert priorities.lift(world.store, "a", 1, (LONG, NORMAL), NORMAL, '{"priority": 6}')
    assert world.store.take("keeper")[1] == [("a", 1, '{"priority": 6}')]
    assert priorities.waiting(world.store, 60) == []
    assert not priorities.lift(world.store, "a", 1, (LONG, NORMAL), NORMAL, "x") or world.record("a")["level"] == "6"
    world.check()


def test_who_has_gone_on_is_not_raised(world: World) -> None:
    world.submit("a", facts={"level": LONG})
    world.claim("a")
    before = world.picture()
    assert not priorities.lift(world.store, "a", 1, (LONG, NORMAL), NORMAL, "x")
    assert world.picture() == before


def test_levels() -> None:
    assert [level(seconds) for seconds in (None, 0, 5, 6, 60, 61)] == [NORMAL, SHORT, SHORT, NORMAL, NORMAL, LONG]
    assert (checked("high"), checked(4)) == (0, 4)
    assert (for_broker(HIGH, "redis"), for_broker(HIGH, "amqp"), for_broker(LONG, "amqp")) == (0, 9, 0)
    for wrong in ("urgent", 10, -1, True):
        with pytest.raises(InvalidOption, match="priority"):
            checked(wrong)
    with pytest.raises(InvalidOption, match="expected_run_time"):
        Policy(expected_run_time=-1)

"""A job whose process died with the run is told of its end by one other, whatever gets lost."""

from __future__ import annotations

from jobkit.states import Outcome
from jobkit.store import End
from tests.store.world import MESSAGE, World, holder

DIED = End(("abort",), Outcome.FAILED, "its worker vanished", hook=True)


def died(world: World, *, again: bool = False) -> None:
    """A run whose process died, and which nobody has told so."""
    world.submit()
    world.claim()
    if again:
        world.submit()
    assert world.store.finish("j", holder(), DIED).publish == (("j", 2 if again else 1, MESSAGE),)


def test_who_gets_the_message_tells_it_and_nobody_else(world: World) -> None:
    died(world)
    world.check()
    told = world.claim(token="first")
    assert (told.code, told.hook, told.state) == ("hook", "1", "ABORTED")
    refused = world.claim(token="second")
    assert (refused.code, refused.hook) == ("refused", "")
    assert world.states() == ["QUEUED", "RUNNING", "ABORTED"]
    world.check()


def test_an_answer_that_was_lost_is_given_again(world: World) -> None:
    died(world)
    for _ in range(3):
        assert world.claim(token="first")[:3] == ("hook", "ABORTED", 1)


def test_the_next_run_tells_it_of_the_one_before(world: World) -> None:
    died(world, again=True)
    claim = world.claim(run=2, token="first")
    assert (claim.code, claim.hook) == ("ok", "1")
    again = world.claim(run=2, token="first")
    assert (again.code, again.hook) == ("again", "1")
    other = world.claim(run=2, token="second")
    assert (other.code, other.hook) == ("refused", "")
    world.check()


def test_a_keeper_publishes_the_message_until_it_is_told(world: World) -> None:
    died(world)
    for _ in range(2):
        world.advance(5_000)
        assert world.store.take("keeper")[1] == [("j", 1, MESSAGE)]
    world.claim(token="first")
    world.advance(5_000)
    assert world.store.take("keeper")[1] == []
    assert world.holds("outbox") == set()


def test_a_run_that_ended_by_itself_is_told_by_itself(world: World) -> None:
    world.submit()
    world.claim()
    assert world.store.finish("j", holder(), End(("fail",), Outcome.FAILED)).publish == ()
    assert world.claim(token="late").code == "refused"
    assert "hook" not in world.record()

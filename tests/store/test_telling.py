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


HERE = End(("finish",), Outcome.SUCCEEDED, here=True)


def ended_here(world: World) -> None:
    """A run that ended, and whose process tells its job so itself."""
    world.submit()
    world.claim()
    assert world.store.finish("j", holder(), HERE).publish == ()


def test_who_ends_it_tells_it_once(world: World) -> None:
    ended_here(world)
    assert world.store.tell("j", 1, HERE, "first")
    assert world.store.tell("j", 1, HERE, "first")  # the answer was lost
    assert not world.store.tell("j", 1, HERE, "second")
    assert not world.store.tell("j", 2, HERE, "first")
    assert "message" not in world.record()
    assert world.holds("outbox") == set()
    assert world.claim(token="late").hook == ""
    world.check()


def test_if_who_ended_it_dies_the_queue_brings_it_to_another(world: World) -> None:
    ended_here(world)
    world.advance(5_000)
    assert world.store.take("keeper")[1] == [("j", 1, MESSAGE)]
    assert world.claim(token="other").code == "hook"
    assert not world.store.tell("j", 1, HERE, "first")
    world.check()


def test_the_next_run_or_who_ended_the_one_before_tells_it(world: World) -> None:
    world.submit()
    world.claim()
    world.store.finish("j", holder(), End(("fail",), Outcome.FAILED, again=0.0, here=True))
    assert world.store.tell("j", 1, HERE, "first")
    claim = world.claim(run=2, token="next")
    assert (claim.code, claim.hook) == ("ok", "")
    world.check()


def test_what_was_not_told_is_told_after_a_new_submission(world: World) -> None:
    ended_here(world)
    world.submit()
    claim = world.claim(run=2, token="next")
    assert (claim.code, claim.hook) == ("ok", "1")
    world.check()

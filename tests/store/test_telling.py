"""A job whose process died with the run is told of its end by one other, whatever gets lost."""

from __future__ import annotations

import pytest

from jobkit.errors import Fenced, IllegalTransition
from jobkit.states import Outcome
from jobkit.store import End, workers
from tests.store.world import MESSAGE, WORKER, World, holder

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
HOOK = (1, "teller", WORKER)


def ended_here(world: World) -> None:
    """A run that ended, and whose process tells its job so itself."""
    world.submit()
    world.claim()
    assert world.store.finish("j", holder(), HERE).publish == ()


def test_who_ends_it_tells_it_once(world: World) -> None:
    ended_here(world)
    assert world.store.tell("j", HOOK)
    assert world.store.tell("j", HOOK)  # the answer was lost
    assert not world.store.tell("j", (1, "second", WORKER))
    assert not world.store.tell("j", (2, "teller", WORKER))
    assert world.holds("outbox") == set()
    assert world.claim(token="late").hook == ""
    world.store.told("j", HOOK, drop=HERE.spent())
    assert "message" not in world.record()
    world.check()


def test_if_who_ended_it_dies_the_queue_brings_it_to_another(world: World) -> None:
    ended_here(world)
    world.advance(5_000)
    assert world.store.take("keeper")[1] == [("j", 1, MESSAGE)]
    assert world.claim(token="other").code == "hook"
    assert not world.store.tell("j", HOOK)
    world.check()


def test_what_was_not_told_is_told_after_a_new_submission(world: World) -> None:
    ended_here(world)
    world.submit()
    claim = world.claim(run=2, token="next")
    assert (claim.code, claim.hook) == ("ok", "1")


ERRED = End(("fail",), Outcome.FAILED, again=0.0, here=True)


def telling(world: World, end: End = HERE) -> None:
    """A run that has ended, and whose process tells the job so."""
    world.submit()
    world.claim()
    assert world.store.finish("j", holder(), end).publish == ()
    world.check()
    assert world.store.tell("j", HOOK)
    world.check()


def test_nobody_else_tells_it_while_its_own_process_does(world: World) -> None:
    telling(world)
    assert world.claim(token="late").code == "refused"
    with pytest.raises(Fenced):
        world.store.told("j", (1, "other", WORKER))
    assert world.store.told("j", HOOK).publish == ()
    assert "hook" not in world.record()
    assert world.store.told("j", HOOK).code == "again"
    world.check()


def test_it_plans_the_next_run_and_leaves_it_a_checkpoint(world: World) -> None:
    telling(world)
    verdict = world.store.told("j", HOOK, again=0.0, facts={"checkpoint": "7"}, op="op")
    assert (verdict.state, verdict.publish) == ("RESCHEDULED", (("j", 2, MESSAGE),))
    assert world.states() == ["QUEUED", "RUNNING", "FINISHED", "RESCHEDULED", "QUEUED"]
    assert world.store.told("j", HOOK, again=0.0, op="op").code == "again"
    assert world.claim(run=2).checkpoint == "7"
    world.advance(10_000_000)
    assert world.store.prune() == (0, 0)
    world.check()


@pytest.mark.parametrize("again", [None, 5.0, "never"])
def test_what_nobody_needs_goes_when_it_was_told(world: World, again: float | str | None) -> None:
    telling(world)
    assert "message" in world.record()
    world.store.told("j", HOOK, again=again, drop="message")
    assert ("message" in world.record()) is (again is not None)
    world.check()


def test_the_next_run_waits_until_it_was_told_of_the_last(world: World) -> None:
    telling(world, ERRED)
    assert world.states()[-2:] == ["ERROR_RETRY", "WAITING_FOR_PREDECESSOR"]
    assert world.store.take("keeper")[1] == []
    with pytest.raises(IllegalTransition):
        world.store.told("j", HOOK, again=0.0)
    assert world.store.told("j", HOOK).publish == (("j", 2, MESSAGE),)
    assert world.states()[-1] == "QUEUED"
    world.check()


def test_the_next_run_waits_for_its_start_after_that(world: World) -> None:
    telling(world, ERRED._replace(again=9.0))
    assert world.states()[-1] == "WAITING_FOR_PREDECESSOR"
    world.store.told("j", HOOK)
    assert world.states()[-1] == "WAITING_FOR_START"
    world.advance(9_000)
    assert world.store.take("keeper")[1] == [("j", 2, MESSAGE)]
    world.check()


def test_a_job_whose_teller_vanished_is_not_told_again_and_goes_on(world: World) -> None:
    telling(world, ERRED)
    workers.beat(world.store, WORKER, 10)
    workers.beat(world.store, "w2|b", 60)
    world.advance(10_000)
    for _ in range(2):  # handed to the same worker until it has settled it
        [lost] = workers.rescue(world.store, "w2|b", 9)
        assert (lost.state, lost.worker, lost.hook) == ("WAITING_FOR_PREDECESSOR", WORKER, f"1 !{WORKER} w2|b")
    with pytest.raises(Fenced):  # it was frozen only, and thaws
        world.store.told("j", HOOK)
    verdict = world.store.told("j", (1, f"!{WORKER}", "w2|b"), interrupted="its process died")
    assert verdict.publish == (("j", 2, MESSAGE),)
    assert world.record()["hook_interrupted"] == "1 its process died"
    assert workers.rescue(world.store, "w2|b", 9) == []
    assert workers.held(world.store, "w2|b") == []
    world.check()


def test_a_next_run_whose_message_was_lost_with_a_worker_still_tells_of_the_last(world: World) -> None:
    died(world, again=True)
    for lose in (rescued, disowned):
        world.store.run("reserve", "w3|b", 0, 0, "", "", "", 0, 1, "j")
        lose(world)
        assert world.record()["hook"] == "1"  # for whoever starts it, be that at this moment
        assert world.store.take("keeper")[1] == [("j", 2, MESSAGE)]
    assert world.claim(run=2, token="other").hook == "1"
    world.check()


def rescued(world: World) -> None:
    """The worker that had it died."""
    workers.beat(world.store, "w3|b", 10)
    world.advance(10_000)
    assert workers.rescue(world.store, "w2|b", 9) == []


def disowned(world: World) -> None:
    """The worker that had it does not know it."""
    assert workers.own(world.store, "w3|b", "j") is None
    workers.disown(world.store, "w3|b", "j")


@pytest.mark.parametrize("end", [HERE, ERRED])
def test_what_died_before_it_began_is_told_by_another(world: World, end: End) -> None:
    world.submit()
    world.claim()
    world.store.finish("j", holder(), end)
    workers.beat(world.store, WORKER, 10)
    workers.beat(world.store, "w2|b", 60)
    world.advance(10_000)
    for _ in range(2):
        [lost] = workers.rescue(world.store, "w2|b", 9)
        assert lost.hook == f"1 !?{WORKER} w2|b"
    assert not world.store.tell("j", HOOK)  # it was frozen only
    verdict = world.store.told("j", (1, f"!?{WORKER}", "w2|b"), untold=True)
    run = int(world.record()["run"])
    world.advance(5_000)
    assert verdict.publish == (("j", run, MESSAGE),) or world.store.take("keeper")[1] == [("j", run, MESSAGE)]
    claim = world.claim(run=run, token="other")
    assert (claim.code, claim.hook) == ("hook" if end is HERE else "ok", "1")
    world.check()


def test_a_second_delivery_of_a_run_that_is_over_tells_nothing(world: World) -> None:
    world.submit()
    world.claim()
    world.store.finish("j", holder(), End(("fail",), Outcome.FAILED, again=0.0, here=True))
    late = world.claim(run=1, token="late")
    assert (late.code, late.hook) == ("stale", "")
    assert world.store.tell("j", (1, "first", WORKER))


def test_the_message_that_brings_it_may_be_lost(world: World) -> None:
    died(world)
    world.store.published(["j"])
    world.advance(29_000)
    assert world.store.take("keeper")[1] == []
    world.advance(1_000)
    assert world.store.take("keeper")[1] == [("j", 1, MESSAGE)]
    world.store.published(["j"])
    assert world.claim(token="first").code == "hook"
    assert world.holds("outbox") == set()


def test_a_message_that_brings_it_and_is_lost_with_a_worker_is_published_at_once(world: World) -> None:
    died(world)
    world.store.published(["j"])  # it would be owed again in half a minute
    world.store.run("reserve", "w3|b", 0, 0, "", "", "", 0, 1, "j")
    workers.beat(world.store, "w3|b", 10)
    workers.beat(world.store, "w2|b", 60)
    world.advance(10_000)
    [lost] = workers.rescue(world.store, "w2|b", 9)
    assert lost.hook == "1 !?w3|b w2|b"
    verdict = world.store.told("j", (1, "!?w3|b", "w2|b"), untold=True)
    assert verdict.publish == (("j", 1, MESSAGE),)
    world.check()

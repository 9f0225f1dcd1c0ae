"""Next runs and replaced runs: what follows, and what of the old one must not stay."""

from __future__ import annotations

from jobkit.model import Failure
from jobkit.states import Outcome
from jobkit.store import End, Settled, Verdict
from tests.store.world import MESSAGE, NOW, World, holder, plan

LATER = NOW + 60_000
DONE = End(("finish",), Outcome.SUCCEEDED)
FAILED = End(("fail",), Outcome.FAILED, "no luck", Failure("ValueError", "no luck"))


def end(world: World, job_id: str, run: int = 1, how: End = DONE) -> Verdict:
    """Claim a queued run and end it."""
    assert world.claim(job_id, run).code == "ok"
    return world.store.finish(job_id, holder(run), how)


def test_a_job_submitted_while_it_runs_runs_once_more(world: World) -> None:
    world.submit()
    world.claim()
    assert world.submit(message='{"n": 2}').code == "next"
    assert world.store.finish("j", holder(), DONE).publish == (("j", 2, '{"n": 2}'),)
    assert world.states() == ["QUEUED", "RUNNING", "FINISHED", "RESCHEDULED", "QUEUED"]
    world.check()


def test_its_next_run_may_start_later(world: World) -> None:
    world.submit()
    world.claim()
    world.submit(start=LATER)
    assert world.store.finish("j", holder(), FAILED).publish == ()
    assert world.states()[-2:] == ["ERROR_RETRY", "WAITING_FOR_START"]
    world.check()


def test_its_next_run_may_come_after_another_job(world: World) -> None:
    world.submit("other")
    world.submit()
    world.claim()
    world.submit(after="other")
    assert world.store.finish("j", holder(), DONE).publish == ()
    assert world.states()[-1] == "WAITING_FOR_PREDECESSOR"
    world.check()
    assert end(world, "other").publish == (("j", 2, MESSAGE),)
    world.check()


def test_its_next_run_may_be_without_a_start(world: World) -> None:
    world.submit()
    world.claim()
    world.submit(suspended=True)
    assert world.store.finish("j", holder(), DONE).publish == ()
    assert world.states()[-1] == "SUSPENDED"
    world.check()


def test_its_next_run_is_found_by_its_new_owner_and_tags(world: World) -> None:
    world.submit(owner="alice", tags=("red", "blue"))
    world.claim()
    world.submit(owner="bob", tags=("blue", "green"))
    world.store.finish("j", holder(), DONE)
    world.check()
    assert world.record()["owner"] == "bob"


def test_its_next_run_keeps_what_is_not_given_anew(world: World) -> None:
    world.submit(owner="alice", tags=("red",))
    world.claim()
    world.submit()
    world.store.finish("j", holder(), FAILED)
    assert (world.record()["owner"], world.record()["tags"]) == ("alice", "red")
    world.check()


def test_run_again_without_a_message_is_refused_loudly(world: World) -> None:
    """There is nothing to publish: the run ends for good instead of standing in the queue for ever."""
    world.store.claim("j", None, "tok1", "w1@host|boot1", 7, redelivered=False, plan=plan(message=""))
    verdict = world.store.finish("j", holder(), End(("abort",), Outcome.FAILED, again=True))
    assert (verdict.state, verdict.publish) == ("ABORTED", ())
    assert world.states()[-1] == "ABORTED"
    world.check()


def test_a_replaced_run_leaves_nothing_of_its_owner_tags_and_arguments(world: World) -> None:
    world.submit(owner="alice", tags=("red",), facts={"args": "(1,)", "kwargs": "{}", "parent": "p", "retries": 2})
    world.submit(owner="bob")
    assert {"tags", "args", "kwargs", "parent", "retries"}.isdisjoint(world.record())
    assert world.holds("owner", "alice") == world.holds("tag", "red") == set()
    world.check()


def test_a_job_submitted_again_leaves_nothing_of_its_first_end(world: World) -> None:
    world.submit(owner="alice", tags=("red",))
    end(world, "j", how=FAILED)
    world.submit()
    gone = {"outcome", "note", "failure", "ended", "expires", "worker", "started", "owner", "tags"}
    assert gone.isdisjoint(world.record())
    world.check()


def test_an_end_without_a_message_does_not_keep_that_of_the_run_before(world: World) -> None:
    world.submit()
    world.claim()
    world.submit()
    world.store.finish("j", holder(), FAILED)
    world.claim(run=2)
    assert {"outcome", "note", "failure"}.isdisjoint(world.record())
    world.store.finish("j", holder(2), End(("finish",), Outcome.PARTIALLY_SUCCEEDED))
    assert {"note", "failure"}.isdisjoint(world.record())
    world.check()


def test_a_removal_does_not_keep_the_failure_of_the_run_before(world: World) -> None:
    world.submit()
    world.claim()
    world.submit()
    world.store.finish("j", holder(), FAILED)
    world.store.remove("j", "client")
    world.store.finish("j", Settled(None, "", "w1@host|"), End(("confirm_removal",), Outcome.REMOVED))
    assert {"note", "failure"}.isdisjoint(world.record())
    world.check()


def test_a_job_sent_again_without_jobkit_leaves_nothing_of_its_first_end(world: World) -> None:
    for token in ("tok1", "tok2"):
        world.claim(run=None, token=token)
        assert {"outcome", "note", "failure", "ended", "expires", "meta"}.isdisjoint(world.record())
        world.check()
        world.store.finish("j", holder(None), FAILED)
        world.check()


def test_a_message_owed_for_a_replaced_run_is_owed_no_more(world: World) -> None:
    world.submit(start=LATER)
    world.store.change_start("j", None, "client")
    assert world.holds("outbox") == {"j"}
    world.submit(start=LATER)
    assert world.holds("outbox") == set()
    world.check()


def test_a_message_owed_for_a_run_that_was_claimed_is_not_handed_out(world: World) -> None:
    world.submit(start=LATER)
    world.store.change_start("j", None, "client")
    world.claim()
    world.advance(5_000)
    assert world.store.take("keeper")[1] == []
    assert world.holds("outbox") == set()
    world.check()


def test_a_replacing_run_that_could_not_be_published_ends_as_removed(world: World) -> None:
    world.submit()
    world.submit(op="op2")
    assert world.store.discard("j", "op2", 2).state == "REMOVED"
    assert world.states() == ["QUEUED", "REPLACED", "QUEUED", "REMOVING", "REMOVED"]
    assert world.record()["note"] == "its message could not be published"
    assert world.store.discard("j", "op2", 2).code == "refused"
    world.check()


def test_discarding_lets_those_go_who_wait(world: World) -> None:
    world.submit("first", op="op1")
    world.submit("second", after="first")
    assert world.store.discard("first", "op1", 1).code == "ok"
    assert world.record("first") == {}
    world.advance(5_000)
    assert world.store.take("keeper")[1] == [("second", 1, MESSAGE)]
    world.check()

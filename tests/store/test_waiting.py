"""Jobs behind other jobs: held, and let go by the right one at the right time."""

from __future__ import annotations

import pytest

from jobkit.errors import InvalidOption, JobUnknown
from jobkit.states import Outcome, State
from jobkit.store import End, Verdict
from tests.store.world import MESSAGE, NOW, World, holder, plan

LATER = NOW + 60_000
DONE = End(("finish",), Outcome.SUCCEEDED)
FAILED = End(("fail",), Outcome.FAILED, "no luck")


def state(world: World, job_id: str) -> str:
    return world.record(job_id)["state"]


def end(world: World, job_id: str, run: int = 1, how: End = DONE) -> Verdict:
    """Claim a queued run and end it."""
    assert world.claim(job_id, run).code == "ok"
    return world.store.finish(job_id, holder(run), how)


def test_a_job_behind_another_waits_and_goes_when_that_ends(world: World) -> None:
    world.submit("first")
    assert world.submit("second", after="first").state == "WAITING_FOR_PREDECESSOR"
    verdict = end(world, "first")
    assert verdict.publish == (("second", 1, MESSAGE),)
    assert world.path("second")[-1][2:] == [
        "QUEUED",
        str(NOW),
        world.path("first")[-1][4],
        "w1@host",
        "job first has ended",
    ]
    world.check()


@pytest.mark.parametrize("how", [DONE, FAILED])
def test_it_goes_however_the_other_ended(world: World, how: End) -> None:
    world.submit("first")
    world.submit("second", after="first")
    end(world, "first", how=how)
    assert state(world, "second") == "QUEUED"
    world.check()


def test_it_goes_at_once_when_the_other_has_ended(world: World) -> None:
    world.submit("first")
    end(world, "first")
    assert world.submit("second", after="first").state == "QUEUED"
    world.check()


def test_it_waits_on_while_the_other_is_run_again(world: World) -> None:
    world.submit("first")
    world.submit("second", after="first")
    world.claim("first")
    world.submit("first")
    assert world.store.finish("first", holder(), FAILED).publish == (("first", 2, MESSAGE),)
    assert state(world, "second") == "WAITING_FOR_PREDECESSOR"
    assert end(world, "first", 2).publish == (("second", 1, MESSAGE),)
    world.check()


def test_nobody_can_come_after_a_job_that_is_not_there(world: World) -> None:
    before = world.picture()
    with pytest.raises(JobUnknown) as caught:
        world.submit("second", after="first")
    assert caught.value.job_id == "first"
    assert world.picture() == before


def test_nobody_can_come_after_himself(world: World) -> None:
    world.submit("first")
    before = world.picture()
    with pytest.raises(InvalidOption, match="after='first'"):
        world.submit("first", after="first")
    assert world.picture() == before


def test_it_waits_for_its_start_when_that_is_later(world: World) -> None:
    world.submit("first")
    world.submit("second", after="first", start=LATER)
    end(world, "first")
    assert state(world, "second") == "WAITING_FOR_START"
    world.check()
    world.advance(60_000)
    assert world.store.take("keeper")[1] == [("second", 1, MESSAGE)]
    world.check()


def test_it_waits_for_the_other_when_its_start_comes_first(world: World) -> None:
    world.submit("first")
    world.submit("second", after="first", start=NOW + 5)
    world.store.change_start("second", NOW + 10, "client")
    assert state(world, "second") == "WAITING_FOR_START"
    world.advance(10)
    assert world.store.take("keeper")[1] == []
    assert state(world, "second") == "WAITING_FOR_PREDECESSOR"
    world.check()
    assert end(world, "first").publish == (("second", 1, MESSAGE),)


def test_resumed_it_waits_for_the_other_again(world: World) -> None:
    world.submit("first")
    world.submit("second", after="first")
    world.store.suspend("second", "client")
    end(world, "first")
    assert state(world, "second") == "SUSPENDED"
    world.submit("first")
    assert world.store.change_start("second", None, "client").state == "WAITING_FOR_PREDECESSOR"
    world.check()
    assert end(world, "first", 2).publish == (("second", 1, MESSAGE),)
    world.check()


def test_submitted_without_a_start_it_stays_so_when_the_other_ends(world: World) -> None:
    world.submit("first")
    assert world.submit("second", after="first", suspended=True).state == "SUSPENDED"
    end(world, "first")
    assert state(world, "second") == "SUSPENDED"
    assert world.store.change_start("second", None, "client").state == "QUEUED"
    world.check()


def test_put_behind_another_one_it_is_not_let_go_by_the_one_before(world: World) -> None:
    world.submit("first")
    world.submit("other")
    world.submit("second", after="first")
    world.submit("second", after="other")
    world.check()
    assert end(world, "first").publish == ()
    assert state(world, "second") == "WAITING_FOR_PREDECESSOR"
    assert end(world, "other").publish == (("second", 2, MESSAGE),)
    world.check()


def test_removed_while_it_waits_it_is_not_let_go(world: World) -> None:
    world.submit("first")
    world.submit("second", after="first")
    assert world.store.remove("second", "client").publish == (("second", 1, MESSAGE),)
    world.check()
    assert end(world, "first").publish == ()
    assert state(world, "second") == "REMOVING"
    world.check()


def test_thousands_may_wait_for_one(world: World) -> None:
    world.submit("first")
    waiting = {f"w{n}" for n in range(4000)}
    path = f"1\t1\tWAITING_FOR_PREDECESSOR\t{NOW}\top\tclient\t\n"
    record = {"state": "WAITING_FOR_PREDECESSOR", "run": 1, "seq": 1, "since": NOW, "path": path}
    record |= {"after": "first", "message": MESSAGE}
    with world.client.pipeline(transaction=False) as pipe:
        for job_id in waiting:
            pipe.hset(world.keys.job(job_id), mapping=record)
            pipe.zadd(world.keys.state(State.WAITING_FOR_PREDECESSOR), {job_id: NOW})
            pipe.sadd(world.keys.key("after", "first"), job_id)
        pipe.hset(world.keys.job("first"), "followed", 1)
        pipe.execute()
    verdict = end(world, "first")
    assert {job_id for job_id, _, _ in verdict.publish} <= waiting
    assert world.holds("state", "QUEUED") == world.holds("outbox") == waiting
    world.store.published(sorted(waiting))
    assert not world.holds("outbox")
    world.check()


def test_an_odd_name_does_not_break_the_path_of_who_waits(world: World) -> None:
    world.store.claim("a\tb\nc", None, "tok1", "w1@host|boot1", 7, redelivered=False, plan=plan("a\tb\nc"))
    world.submit("second", after="a\tb\nc")
    world.store.finish("a\tb\nc", holder(), DONE)
    assert world.path("second")[-1][6] == "job a b c has ended"
    world.check()

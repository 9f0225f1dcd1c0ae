"""Blocks: what is held back waits by its queue time, stands in nobody's way, and goes on in order."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from jobkit.errors import InvalidOption
from jobkit.hosts import lift
from jobkit.locks import Lock
from jobkit.states import Outcome
from jobkit.store import End, Verdict, blocks, locks
from tests.store.world import NOW, World, holder, plan

DONE = End(("finish",), Outcome.SUCCEEDED)


def block(world: World, kind: str = "host", name: str = "eu", until: int | None = None) -> None:
    blocks.block(world.store, kind, name, "offline", "no power", until, "tester")
    world.check()


def unblock(world: World, kind: str = "host", name: str = "eu") -> list[str]:
    """Lift it; returns who may go, in order."""
    gone: list[str] = []

    def publish(verdict: Verdict) -> None:
        gone.extend(job_id for job_id, _, _ in verdict.publish)

    assert lift(world.store, kind, name, "tester", publish)
    world.check()
    return gone


def submit(world: World, job_id: str = "j", host: str = "eu", **options: Any) -> str:
    return world.submit(job_id, host=host, **options).state


def state(world: World, job_id: str = "j") -> str:
    return world.record(job_id)["state"]


def claim(world: World, job_id: str = "j", run: int | None = 1, **facts: Any) -> str:
    given = plan(job_id, facts=facts)
    token = f"{job_id}{secrets.token_hex(4)}"
    return world.store.claim(job_id, run, token, "w|b", 7, redelivered=False, plan=given).code


def test_a_job_of_a_host_that_is_away_waits_and_goes_when_it_is_back(world: World) -> None:
    block(world)
    assert submit(world) == "HOST_BLOCKED"
    assert submit(world, "other", host="us") == "QUEUED"
    world.check()
    (found,) = blocks.listing(world.store)
    assert (found.kind, found.name, found.state, found.reason, found.by, found.waiting) == (
        "host", "eu", "offline", "no power", "tester", 1,
    )  # fmt: skip
    assert unblock(world) == ["j"]
    assert world.path()[-1][6] == "host eu is back"
    assert (state(world), blocks.listing(world.store)) == ("QUEUED", ())
    assert not world.client.exists(world.keys.key("blocks"))


def test_what_waits_already_is_taken_out_of_the_way_and_comes_back_in_order(world: World) -> None:
    submit(world, "first")
    world.advance(5)
    submit(world, "second")
    submit(world, "later", start=NOW + 60_000)
    submit(world, "soon", start=NOW + 7)
    submit(world, "behind", after="first")
    world.advance(1)
    block(world)
    assert {state(world, one) for one in ("first", "second", "later", "behind", "soon")} == {"HOST_BLOCKED"}
    assert not world.holds("outbox")
    world.advance(1_000)
    # By queue time; what was queued first is first, however late it was blocked.
    assert unblock(world) == ["first", "second", "soon"]
    assert (state(world, "later"), state(world, "behind")) == ("WAITING_FOR_START", "WAITING_FOR_PREDECESSOR")


def test_what_runs_goes_on_and_its_next_run_waits(world: World) -> None:
    submit(world)
    world.claim()
    block(world)
    assert state(world) == "RUNNING"
    world.store.finish("j", holder(), End(("fail",), Outcome.FAILED, again=0.0))
    assert state(world) == "HOST_BLOCKED"
    assert unblock(world) == ["j"]


@pytest.mark.parametrize(
    ("kind", "name"), [("task", "shop.pack"), ("queue", "mail"), ("owner", "alice"), ("definition", "d1")]
)
def test_anything_a_job_has_can_be_blocked(world: World, kind: str, name: str) -> None:
    facts = {"queue": "mail", "definition": "d1"}
    world.submit("before", owner="alice", facts=facts)
    world.store.create(plan("other", owner="bob", facts={"queue": "post"}), "client")
    world.advance(1)
    block(world, kind, name)
    assert state(world, "before") == "HOST_BLOCKED"
    # It costs its submitter no look; who wants to start it is told.
    world.submit("after", owner="alice", facts=facts)
    assert state(world, "after") == "QUEUED"
    assert claim(world, "after") == "blocked"
    assert state(world, "after") == "HOST_BLOCKED"
    if kind != "task":
        assert claim(world, "other") == "ok"
    assert unblock(world, kind, name) == ["before", *(["other"] if kind == "task" else []), "after"]
    assert claim(world, "after") == "ok"
    world.check()


def test_the_jobs_of_a_definition_are_known_by_their_id(world: World) -> None:
    world.submit("@daily")
    world.submit("@daily~2")
    world.submit("@weekly")
    block(world, "definition", "daily")
    assert [state(world, one) for one in ("@daily", "@daily~2", "@weekly")] == [
        "HOST_BLOCKED",
        "HOST_BLOCKED",
        "QUEUED",
    ]


def test_a_message_from_a_client_without_jobkit_is_held_too(world: World) -> None:
    block(world, "task", "shop.pack")
    assert claim(world, "j", None) == "blocked"
    world.check()
    assert world.states() == ["QUEUED", "HOST_BLOCKED"]
    assert unblock(world, "task", "shop.pack") == ["j"]
    assert claim(world, "j", 1) == "ok"


def test_behind_two_blocks_it_waits_for_both(world: World) -> None:
    block(world)
    block(world, "task", "shop.pack")
    submit(world)
    assert unblock(world) == []
    assert state(world) == "HOST_BLOCKED"
    assert unblock(world, "task", "shop.pack") == ["j"]


def test_it_holds_no_lock_while_its_host_is_away(world: World) -> None:
    submit(world, "one", locks=(Lock("a"),))
    submit(world, "two", host="us", locks=(Lock("a"),))
    block(world)
    assert (state(world, "one"), state(world, "two")) == ("HOST_BLOCKED", "QUEUED")
    assert unblock(world) == []
    assert state(world, "one") == "WAITING_FOR_LOCK"
    block(world)
    assert (state(world, "one"), locks.listing(world.store)[0].waiters) == ("HOST_BLOCKED", ())


@pytest.mark.parametrize("verb", ["suspend", "remove", "change_start", "submit"])
def test_it_can_be_moved_while_it_waits(world: World, verb: str) -> None:
    block(world)
    submit(world)
    if verb == "submit":
        world.submit()
        assert state(world) == "QUEUED"
    elif verb == "change_start":
        world.store.change_start("j", NOW + 50, "client")
        assert (state(world), world.record()["start"]) == ("HOST_BLOCKED", str(NOW + 50))
    else:
        getattr(world.store, verb)("j", "client")
    world.check()
    gone = unblock(world)
    assert gone == []
    assert state(world) != "HOST_BLOCKED"


def test_woken_behind_a_block_it_waits_there(world: World) -> None:
    submit(world, suspended=True)
    block(world)
    assert state(world) == "SUSPENDED"
    assert world.store.change_start("j", None, "client").state == "HOST_BLOCKED"
    world.check()


def test_a_job_in_front_that_ends_leaves_it_behind_the_block(world: World) -> None:
    world.submit("first")
    submit(world, "second", after="first")
    block(world)
    world.claim("first")
    assert world.store.finish("first", holder(), DONE).publish == ()
    assert unblock(world) == ["second"]


def test_blocks_whose_time_is_over_are_found(world: World) -> None:
    block(world, until=1)
    block(world, name="us", until=2**45)
    block(world, name="never")
    assert [(kind, name) for kind, name, _ in blocks.over(world.store)] == [("host", "eu")]


def test_a_lift_that_was_broken_off_is_found_and_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BATCH", 2)
    block(world)
    for n in range(5):
        submit(world, f"j{n}")
    first = blocks.unblock(world.store, "host", "eu", "tester")
    assert first is not None
    assert (len(first.publish), first.run) == (2, 3)
    assert blocks.over(world.store) == []
    world.client.hset(world.keys.key("blocks"), "host eu", "~1")
    assert blocks.over(world.store) == [("host", "eu", "~1")]
    # What is submitted while it is lifted is not held back any more.
    assert submit(world, "new") == "QUEUED"
    assert unblock(world) == ["j2", "j3", "j4"]
    assert blocks.over(world.store) == []


def test_blocked_again_while_it_is_lifted_the_rest_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BATCH", 2)
    block(world)
    for n in range(5):
        submit(world, f"j{n}")
    blocks.unblock(world.store, "host", "eu", "tester")
    block(world)
    assert blocks.unblock(world.store, "host", "eu", "tester", blocks.LIFTING) is None
    assert len(world.holds("state", "HOST_BLOCKED")) == 5


def test_a_wrong_kind_or_name_is_refused(world: World) -> None:
    for kind, name in (("colour", "red"), ("host", ""), ("host", "a\nb")):
        with pytest.raises(InvalidOption):
            block(world, kind, name)

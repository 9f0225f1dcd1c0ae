"""The clock of Redis jumps, or a call comes late: no path goes back, and nobody is taken for dead by it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from jobkit.services import leases
from jobkit.states import Outcome
from jobkit.store import End, Settled, messages, workers
from jobkit.times import start
from tests.store.world import WORKER, World

HOUR = 3_600_000
AGAIN = End(("fail",), Outcome.FAILED, again=0.0)


def test_a_path_does_not_go_back_with_the_clock(world: World) -> None:
    world.submit()
    world.advance(-HOUR)
    world.claim()
    world.advance(5)
    world.store.finish("j", Settled(1, "tok1", WORKER), AGAIN)
    world.advance(HOUR)
    world.claim(run=2)
    times = [int(line[3]) for line in world.path()]
    assert times == sorted(times)
    assert times[0] == times[1] == times[-2] < times[-1] == world.now
    world.check()


def test_what_is_accused_after_the_clock_went_back_does_not_take_the_path_back(world: World) -> None:
    world.submit()
    world.advance(-HOUR)
    messages.accuse(world.store, ["j"])
    world.advance(2_000)
    assert messages.convict(world.store, 1.0, 9) == ["j"]
    world.claim()
    queued, running = (int(line[3]) for line in world.path())
    assert queued <= running
    world.check()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_job_has_the_time_that_was_left_to_it_whatever_the_clock_does(world: World, jump: int) -> None:
    others = "w2@host|boot2"
    for job_id, worker in (("j", WORKER), ("k", others)):
        world.submit(job_id)
        world.claim(job_id, worker=worker)
        world.client.zadd(world.keys.key("deadlines"), {job_id: world.now + 9_000})
    until = world.advance(5_000) / 1000 + 5
    world.advance(jump)
    if jump > 0:
        assert workers.overdue(world.store, 9, 30, until) == []  # nobody who has not seen the jump judges
    for worker in (WORKER, others):
        workers.rebase(world.store, 10, worker, jump / 1000)
    assert workers.overdue(world.store, 9, 30) == []
    world.advance(4_001)
    assert workers.overdue(world.store, 9, 30) == ["j", "k"]
    world.check()


@pytest.mark.parametrize(("away", "judges"), [(0.6, True), (1.9, False), (2.1, False)])
def test_who_could_not_renew_for_long_judges_nobody_who_could_not_either(
    world: World, monkeypatch: pytest.MonkeyPatch, away: float, judges: bool
) -> None:
    now = 1000.0
    monkeypatch.setattr(leases, "time", SimpleNamespace(monotonic=lambda: now))
    heart = leases.Heartbeat(world.store, WORKER, 2.0, 0.5)

    def go(seconds: float) -> bool:
        nonlocal now
        now += seconds
        world.advance(int(seconds * 1000))
        heart.run_once()
        return heart.may_judge

    assert [go(0.6) for _ in range(4)][-1]
    assert go(away) is judges  # whoever had renewed just before this worker has lost his lease by now
    assert [go(0.6) for _ in range(4)][-1]


@pytest.mark.parametrize("seconds", [60, 0])
def test_seconds_until_a_start_count_by_the_clock_of_redis(world: World, seconds: int) -> None:
    world.submit(start=world.now + HOUR)
    world.advance(HOUR // 2)
    world.store.change_start("j", start("when", seconds), "client")
    assert float(world.record()["start"]) == world.now + seconds * 1000
    assert world.states()[-1] == ("WAITING_FOR_START" if seconds else "QUEUED")
    world.check()


@pytest.mark.parametrize(("late", "found"), [(-1, ["j"]), (1, [])])
def test_who_judges_late_judges_nobody(world: World, late: int, found: list[str]) -> None:
    workers.beat(world.store, WORKER, 10)
    world.submit()
    world.claim()
    until = world.advance(20_000) / 1000
    world.advance(late)
    assert [lost.id for lost in workers.rescue(world.store, "w2@host|boot2", 9, until)] == found

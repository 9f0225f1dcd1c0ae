"""Two clients race for one edge, two hundred times or more: one wins, the other is told so and changes nothing."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from jobkit.errors import Fenced, IllegalTransition
from jobkit.states import Category, Outcome, State
from jobkit.store import End, JobStore, Settled, workers
from tests.chaos.size import size
from tests.store.world import WORKER, World, holder, plan

ROUNDS = size(200, 2000)
Act = Callable[[JobStore, str], str]


def claim(token: str) -> Act:
    """Claim the run; the code of the answer."""
    return lambda store, job_id: (
        store.claim(job_id, 1, token, f"{token}@host|boot", 7, redelivered=False, plan=plan(job_id)).code
    )


def finish(verb: str) -> Act:
    """End the run as its holder, one way or another."""
    outcome = Outcome.SUCCEEDED if verb == "finish" else Outcome.FAILED
    return lambda store, job_id: store.finish(job_id, holder(), End((verb,), outcome)).code


def remove(store: JobStore, job_id: str) -> str:
    return store.remove(job_id, "client").code


def suspend(store: JobStore, job_id: str) -> str:
    return store.suspend(job_id, "client").code


def submit(store: JobStore, job_id: str) -> str:
    verdict = store.create(plan(job_id), "client")
    return f"{verdict.code} {verdict.run}"


def take(store: JobStore, job_id: str) -> str:
    return " ".join(taken for taken, _, _ in store.take("keeper")[1])


def queued(world: World, job_id: str) -> None:
    world.submit(job_id)


def claimed(world: World, job_id: str) -> None:
    world.submit(job_id)
    world.claim(job_id)


def waiting(world: World, job_id: str) -> None:
    world.submit(job_id, start=world.now + 1)
    world.advance(1)


def absent(world: World, job_id: str) -> None:
    pass


#: What stands before the race, both racers, and every (answer, answer, steps of the path) there may be.
RACES: dict[str, tuple[Callable[[World, str], None], Act, Act, set[tuple[str, str, str]]]] = {
    "claim x claim": (
        queued, claim("one"), claim("two"),
        {("ok", "refused", "QUEUED RUNNING"), ("refused", "ok", "QUEUED RUNNING")},
    ),
    "claim x remove": (
        queued, claim("one"), remove,
        {("ok", "RUNNING to REMOVING", "QUEUED RUNNING"), ("removing", "ok", "QUEUED REMOVING")},
    ),
    "claim x suspend": (
        queued, claim("one"), suspend,
        {("ok", "RUNNING to SUSPENDED", "QUEUED RUNNING"), ("refused", "ok", "QUEUED SUSPENDED")},
    ),
    "finish x finish": (
        claimed, finish("finish"), finish("fail"),
        {("ok", "FINISHED to ERROR", "QUEUED RUNNING FINISHED"), ("ERROR to FINISHED", "ok", "QUEUED RUNNING ERROR")},
    ),
    "create x create": (
        absent, submit, submit,
        {("ok 1", "ok 2", "QUEUED REPLACED QUEUED"), ("ok 2", "ok 1", "QUEUED REPLACED QUEUED")},
    ),
    "take x take": (
        waiting, take, take,
        {("{id}", "", "WAITING_FOR_START QUEUED"), ("", "{id}", "WAITING_FOR_START QUEUED")},
    ),
}  # fmt: skip


class Racer(threading.Thread):
    """Runs every round's act on a connection of its own, the moment both are ready."""

    def __init__(self, url: str, act: Act, gate: threading.Barrier) -> None:
        super().__init__(daemon=True)
        self.url, self.act, self.gate = url, act, gate
        self.told: list[str] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        with Redis.from_url(self.url) as client:
            store = JobStore(client, "shop", test_clock=True)
            try:
                for number in range(ROUNDS):
                    self.gate.wait(20)
                    self.told.append(self.answer(store, f"j{number}"))
                    self.gate.wait(20)
            except Exception as exc:
                self.failure = exc
                self.gate.abort()

    def answer(self, store: JobStore, job_id: str) -> str:
        try:
            return self.act(store, job_id)
        except IllegalTransition as exc:
            return f"{exc.source} to {exc.target}"
        except Fenced:
            return "fenced"


@pytest.mark.parametrize("name", RACES)
def test_one_wins(world: World, url: str, name: str) -> None:
    prepare, left, right, possible = RACES[name]
    gate = threading.Barrier(3)
    racers = [Racer(url, act, gate) for act in (left, right)]
    for racer in racers:
        racer.start()
    seen = []
    for number in range(ROUNDS):
        prepare(world, f"j{number}")
        gate.wait(20)
        gate.wait(20)
        told = [racer.told[number] for racer in racers]
        seen.append(outcome(world, f"j{number}", told))
    for racer in racers:
        racer.join(20)
        assert racer.failure is None
    assert set(seen) <= possible
    world.check()


def outcome(world: World, job_id: str, told: list[str]) -> tuple[Any, ...]:
    """What both were told, and the path, with the job's id left out."""
    return (*(answer.replace(job_id, "{id}") for answer in told), " ".join(world.states(job_id)))


# -- L6: everybody who may end a run does so at once --------------------------------------------------------------


def cancel(store: JobStore, job_id: str) -> str:
    return store.ask(job_id, "cancel", "client").code


def time_over(store: JobStore, job_id: str) -> str:
    return store.ask(job_id, "time_over", "keeper").code


def vanish(store: JobStore, job_id: str) -> str:
    """Its lease is over: another worker takes it over, and aborts it."""
    workers.beat(store, WORKER, 0)
    if job_id not in [lost.id for lost in workers.rescue(store, "w2@host|boot2", 9)]:
        return "nothing"
    return store.finish(job_id, Settled(1, "", "w2@host|boot2"), End(("abort",), Outcome.FAILED)).code


#: Who ends it, or asks it to end: what he does, and where that leads if he is told `ok`.
ENDERS: dict[str, tuple[Act, State]] = {
    "done": (finish("finish"), State.FINISHED),
    "failed": (finish("fail"), State.ERROR),
    "lease over": (vanish, State.ABORTED),
    "cancelled": (cancel, State.CANCELLING_BY_USER),
    "time over": (time_over, State.CANCELLING_BY_SYSTEM),
}


def test_l6_one_end_and_everybody_is_told_the_truth(world: World, url: str) -> None:
    gate = threading.Barrier(len(ENDERS) + 1)
    racers = {name: Racer(url, act, gate) for name, (act, _) in ENDERS.items()}
    for racer in racers.values():
        racer.start()
    won: Counter[str] = Counter()
    for number in range(ROUNDS):
        claimed(world, job_id := f"j{number}")
        gate.wait(20)
        gate.wait(20)
        assert not [racer.failure for racer in racers.values() if racer.failure]
        states = world.states(job_id)
        ends = [state for state in states if State(state).category is Category.ENDED]
        assert len(ends) == 1
        for name, (_, target) in ENDERS.items():
            told = racers[name].told[number]
            assert (told == "ok") == (target.value in states), (name, told, states)
        won[ends[0]] += 1
    world.check()
    print("ends:", dict(won), "of", ROUNDS * len(ENDERS), "attempts")
    assert len(won) > 1

"""Any order of verbs, against a small model: whatever happens, the store, the model and the table say the same.

``HYPOTHESIS_PROFILE=nightly`` looks longer, and makes a failure that was found before as short as it can be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis import Redis

from jobkit.errors import Fenced, IllegalTransition, JobNotFound
from jobkit.states import VERBS, Category, Outcome, State, states
from jobkit.store import End, JobStore, Settled
from tests.store.checks import ACTIVE, ENDED, READY
from tests.store.model import KEEP, Begin, Model, Models, Wish
from tests.store.world import WORKER, World, holder, plan

COMMON = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
PROFILES = {
    "default": settings(
        COMMON, max_examples=60, stateful_step_count=40, phases=(Phase.explicit, Phase.reuse, Phase.generate)
    ),
    "nightly": settings(COMMON, max_examples=2000, stateful_step_count=100),
}

jobs = st.sampled_from("abc")
times = st.sampled_from([10, KEEP])  # ms; few, so that they meet
ends = st.sampled_from(["finish", "fail", "abort"])

#: Everything that can be done, and with what.  One rule does it all: of many rules each example would leave some out.
ACTIONS: dict[str, Mapping[str, st.SearchStrategy[Any]]] = {
    "submit": {
        "job_id": jobs,
        "begin": st.sampled_from(["now", "now", "later", "idle"]),
        "delay": times,
        "after": st.sampled_from(["", "", "a", "b", "c"]),
        "owner": st.sampled_from(["", "alice", "bob"]),
        "tag": st.sampled_from(["", "red"]),
    },
    "suspend": {"job_id": jobs},
    "change_start": {"job_id": jobs, "delay": st.none() | times | st.just(-5)},
    "remove": {"job_id": jobs},
    "claim": {"job_id": jobs, "off": st.sampled_from([0, -1, 1])},
    "save": {"job_id": jobs},
    "finish": {"job_id": jobs, "verb": ends, "again": st.booleans()},
    "confirm_removal": {"job_id": jobs},
    "end_as_a_stranger": {"job_id": jobs, "verb": ends},
    "pass_time": {"ms": times},
    "publish": {"published": st.booleans()},
    "prune": {},
    "send_again": {"flush": st.booleans()},
}
#: What leads on from where a job stands, so that whole lives happen, and not refusals alone.
ONWARD: dict[State | None, tuple[str, ...]] = {
    None: ("submit",),
    **dict.fromkeys(
        states(Category.WAITING_TO_START),
        ("change_start", "publish", "pass_time", "change_start", "suspend", "remove", "publish"),
    ),
    State.QUEUED: ("claim", "claim", "claim", "suspend", "change_start", "remove", "submit"),
    State.REMOVING: ("confirm_removal", "confirm_removal", "submit"),
    **dict.fromkeys(ACTIVE, ("finish", "finish", "finish", "save", "submit", "end_as_a_stranger", "claim")),
    **dict.fromkeys(ENDED, ("submit", "submit", "prune", "pass_time", "claim", "end_as_a_stranger")),
}


class Machine(RuleBasedStateMachine):
    """Every step does one thing to the store and to the model, and compares what both say."""

    def __init__(self, client: Redis) -> None:
        super().__init__()
        client.flushdb()
        self.world = World(client)
        self.store: JobStore = self.world.store
        self.models = Models()
        self.models.now = self.world.now
        self.number = 0
        self.last: tuple[Any, ...] = ()
        run = self.store.run

        def recording(*call: Any, **options: Any) -> Any:
            self.last = call
            return run(*call, **options)

        self.store.run = recording  # type: ignore[method-assign]

    @rule(data=st.data(), onward=st.sampled_from([True, True, False]), job_id=jobs, choice=st.integers(0, 41))
    def something_happens(self, data: st.DataObject, onward: bool, job_id: str, choice: int) -> None:
        job = self.models.get(job_id)
        names = ONWARD[job.state if job else None] if onward else tuple(ACTIONS)
        name = names[choice % len(names)]
        options = data.draw(st.fixed_dictionaries(dict(ACTIONS[name])), name)
        known = {"job_id": job_id, "off": 0} if onward else {}
        getattr(self, name)(**{key: known.get(key, value) for key, value in options.items()})

    def refused(self, job_id: str, verb: str, act: Any) -> None:
        """The store must refuse, with the right words, and change nothing."""
        before = self.world.picture()
        if job_id not in self.models:
            with pytest.raises(JobNotFound):
                act()
        else:
            with pytest.raises(IllegalTransition) as caught:
                act()
            assert (caught.value.source, caught.value.target) == (self.models[job_id].state, VERBS[verb].target)
        assert self.world.picture() == before

    def job(self, job_id: str, verb: str) -> Model | None:
        """The job, if the table allows it the verb."""
        job = self.models.get(job_id)
        return job if job and job.may(verb) else None

    # -- clients -------------------------------------------------------------------------------------------------

    def submit(self, job_id: str, begin: Begin, delay: int, after: str, owner: str, tag: str) -> None:
        self.number += 1
        after = "" if after == job_id else after
        wish = Wish(begin, self.models.now + delay if begin == "later" else 0, after, owner, tag, f"m{self.number}")
        given = plan(
            job_id,
            message=wish.message,
            start=wish.start or None,
            after=after,
            suspended=begin == "idle",
            owner=owner,
            tags=(tag,) if tag else (),
        )
        if after and after not in self.models:
            with pytest.raises(JobNotFound):
                self.store.create(given, "client")
            return
        verdict = self.store.create(given, "client")
        code = "ok" if self.models.submit(job_id, wish) else "next"
        assert (verdict.code, verdict.state, verdict.run) == (code, self.models[job_id].state, self.models[job_id].run)

    def suspend(self, job_id: str) -> None:
        def act() -> Any:
            return self.store.suspend(job_id, "client")

        if not (job := self.job(job_id, "suspend")):
            return self.refused(job_id, "suspend", act)
        assert act().state == State.SUSPENDED
        job.go("suspend")
        job.start, job.owed = 0, False

    def change_start(self, job_id: str, delay: int | None) -> None:
        now = self.models.now

        def act() -> Any:
            return self.store.change_start(job_id, None if delay is None else now + delay, "client")

        ahead = delay is not None and delay > 0
        held = job_id in self.models and self.models.held(self.models[job_id])
        verb = "change_start" if ahead else "await_predecessor" if held else "enqueue"
        if not (job := self.job(job_id, verb)):
            return self.refused(job_id, verb, act)
        verdict = act()
        job.go(verb)
        job.start = now + (delay or 0) if ahead else now
        job.owed = verb == "enqueue"
        assert verdict.publish == (((job_id, job.run, job.message),) if job.owed else ())

    def remove(self, job_id: str) -> None:
        def act() -> Any:
            return self.store.remove(job_id, "client", "not needed")

        if not (job := self.job(job_id, "remove")):
            return self.refused(job_id, "remove", act)
        job.owed = job.owed or job.state is not State.QUEUED
        assert act().state == State.REMOVING
        job.go("remove")

    # -- workers -------------------------------------------------------------------------------------------------

    def claim(self, job_id: str, off: int) -> None:
        job = self.models.get(job_id)
        run = (job.run if job else 1) + off
        before = self.world.picture()
        claim = self.store.claim(job_id, run, f"{job_id}{run}", WORKER, 7, redelivered=False, plan=plan(job_id))
        if job and not off and job.may("claim"):
            assert (claim.code, claim.checkpoint, claim.owner) == ("ok", job.checkpoint, job.owner)
            job.go("claim")
            job.owed = False
            return
        assert claim.code == self.code_of_a_late_claim(job, off)
        assert self.world.picture() == before

    @staticmethod
    def code_of_a_late_claim(job: Model | None, off: int) -> str:
        if not job:
            return "missing"
        if off:
            return "stale"
        if job.state is State.REMOVING:
            return "removing"
        # It carries the token of the claim this run has had, if it has had one.
        return "again" if job.state in ACTIVE else "stale" if job.claimed else "refused"

    def save(self, job_id: str) -> None:
        job = self.models.get(job_id)
        if job and job.state in ACTIVE:
            self.number += 1
            job.checkpoint = f'"{self.number}"'
            self.store.write(job_id, holder(job.run, f"{job_id}{job.run}"), {"checkpoint": job.checkpoint})

    def finish(self, job_id: str, verb: str, again: bool) -> None:
        job = self.models.get(job_id)
        outcome = Outcome.SUCCEEDED if verb == "finish" else Outcome.FAILED
        end = End((verb,), outcome, keep=KEEP, again=0.0 if again else None)
        mine = holder(job.run, f"{job_id}{job.run}") if job and job.state in ACTIVE else Settled(None, "", WORKER)

        def act() -> Any:
            return self.store.finish(job_id, mine, end)

        if not job or not job.may(verb):
            return self.refused(job_id, verb, act)
        verdict = act()
        run, length = job.run, len(job.path)
        self.models.end(job_id, verb, again=again)
        last = [state for number, state in job.path[length:] if number == run][-1]
        assert (verdict.code, verdict.state, verdict.run) == ("ok", last, run)
        for published, number, message in verdict.publish:
            assert self.models[published].owed
            assert (number, message) == (self.models[published].run, self.models[published].message)

    def confirm_removal(self, job_id: str) -> None:
        def act() -> Any:
            end = End(("confirm_removal",), Outcome.REMOVED, keep=KEEP)
            return self.store.finish(job_id, Settled(None, "", WORKER), end)

        if not self.job(job_id, "confirm_removal"):
            return self.refused(job_id, "confirm_removal", act)
        act()
        self.models.end(job_id, "confirm_removal")

    def end_as_a_stranger(self, job_id: str, verb: str) -> None:
        def act() -> Any:
            stranger = Settled(job.run if job else 1, "forged", "w9@host|boot9")
            return self.store.finish(job_id, stranger, End((verb,), Outcome.FAILED, keep=KEEP))

        job = self.models.get(job_id)
        if not job or not job.claimed:
            return self.refused(job_id, verb, act)
        before = self.world.picture()
        with pytest.raises(Fenced):
            act()
        assert self.world.picture() == before

    # -- time, keepers, and the wire -----------------------------------------------------------------------------

    def pass_time(self, ms: int) -> None:
        self.models.now = self.world.advance(ms)

    def publish(self, published: bool) -> None:
        self.models.take()
        _, owed = self.store.take("keeper")
        for job_id, run, message in owed:
            assert self.models[job_id].owed
            assert (run, message) == (self.models[job_id].run, self.models[job_id].message)
        if published:
            self.store.published([job_id for job_id, _, _ in owed])
            for job_id, _, _ in owed:
                self.models[job_id].owed = False

    def prune(self) -> None:
        assert self.store.prune() == (self.models.prune(), 0)

    def send_again(self, flush: bool) -> None:
        if not self.last or self.last[0] in ("take", "prune"):
            return  # what these do depends on the time; see test_idempotency.py
        if flush:
            self.world.client.script_flush()
        before = self.world.picture()
        self.store.run(*self.last)
        assert self.world.picture() == before

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def keys_agree_with_each_other(self) -> None:
        self.world.check()

    @invariant()
    def the_store_agrees_with_the_model(self) -> None:
        ready = {job_id for job_id, job in self.models.items() if job.state in READY}
        # What is owed no more because it was claimed goes when a keeper comes by.
        assert self.world.holds("outbox") & ready == {job_id for job_id in ready if self.models[job_id].owed}
        for job_id in "abc":
            record, job = self.world.record(job_id), self.models.get(job_id)
            assert bool(record) == (job is not None)
            if job:
                assert [(int(line[1]), line[2]) for line in self.world.path(job_id)] == job.path
                told = (record["state"], int(record["run"]), record.get("owner", ""), record.get("tags", ""))
                assert told == (job.state, job.run, job.owner, job.tag)
                assert ("next" in record) == (job.next is not None)
                assert record.get("message", "") == job.message
                assert record.get("checkpoint", "") == job.checkpoint


@pytest.mark.timeout(7200)
def test_any_order_of_verbs(client: Redis) -> None:
    profile = PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "default")]
    run_state_machine_as_test(cast(Any, lambda: Machine(client)), settings=profile)

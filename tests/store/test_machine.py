"""Any order of verbs, against a small model: whatever happens, the store and the table say the same.

``HYPOTHESIS_PROFILE=nightly`` looks longer, and makes a failure that was found before as short as it can be.
"""

from __future__ import annotations

import os
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from jobkit.errors import Fenced, IllegalTransition, JobUnknown
from jobkit.states import RESTART_OF, VERBS, Outcome, State
from jobkit.store import End, JobStore, Settled
from tests.store.checks import ACTIVE, ENDED, READY
from tests.store.model import Begin, Model, Wish
from tests.store.world import WORKER, World, holder, plan

COMMON = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
PROFILES = {
    "default": settings(
        COMMON, max_examples=60, stateful_step_count=40, phases=(Phase.explicit, Phase.reuse, Phase.generate)
    ),
    "nightly": settings(COMMON, max_examples=2000, stateful_step_count=100),
}
KEEP = 50  # ms an ended job is kept
STRANGER = Settled(1, "forged", "w9@host|boot9")

jobs = st.sampled_from("abc")
ends = st.sampled_from(["finish", "fail", "abort"])


class Machine(RuleBasedStateMachine):
    """Every rule does one thing to the store and to the model, and compares what both say."""

    def __init__(self, client: Redis) -> None:
        super().__init__()
        client.flushdb()
        self.world = World(client)
        self.store: JobStore = self.world.store
        self.model: dict[str, Model] = {}
        self.number = 0
        self.last: tuple[Any, ...] = ()
        run = self.store.run

        def recording(*call: Any) -> Any:
            self.last = call
            return run(*call)

        self.store.run = recording  # type: ignore[assignment,method-assign]

    # -- what the model knows ------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        return self.world.now

    def held(self, job: Model) -> bool:
        return job.after in self.model and self.model[job.after].state.is_live

    def begin(self, job: Model, wish: Wish) -> None:
        job.run, job.after, job.start, job.owed = job.run + 1, wish.after, wish.start, False
        if wish.begin == "idle":
            job.to(State.SUSPENDED)
        elif self.held(job):
            job.to(State.WAITING_FOR_PREDECESSOR)
        else:
            job.to(State.WAITING_FOR_START if wish.start > self.now else State.QUEUED)

    def end(self, job_id: str, verb: str, *, again: bool = False) -> None:
        job = self.model[job_id]
        job.go(verb)
        if again and job.message and not job.next:
            job.next = Wish()
        if job.next:
            wish, job.next = job.next, None
            job.go(RESTART_OF[job.state])
            job.owner, job.tag = wish.owner or job.owner, wish.tag or job.tag
            job.message = wish.message or job.message
            self.begin(job, wish)
            job.owed = job.state is State.QUEUED
            return
        job.expires = self.now + KEEP
        if verb == "finish":
            job.message = ""
        for other in self.model.values():
            if other.state is State.WAITING_FOR_PREDECESSOR and other.after == job_id:
                other.owed = other.start <= self.now
                other.to(State.QUEUED if other.owed else State.WAITING_FOR_START)

    def refused(self, job_id: str, verb: str, act: Any) -> None:
        """The store must refuse, with the right words, and change nothing."""
        before = self.world.picture()
        if job_id not in self.model:
            with pytest.raises(JobUnknown):
                act()
        else:
            with pytest.raises(IllegalTransition) as caught:
                act()
            assert (caught.value.source, caught.value.target) == (self.model[job_id].state, VERBS[verb].target)
        assert self.world.picture() == before

    # -- clients -------------------------------------------------------------------------------------------------

    @rule(
        job_id=jobs,
        begin=st.sampled_from(["now", "now", "later", "idle"]),
        delay=st.integers(1, 30),
        after=st.sampled_from(["", "", "a", "b", "c"]),
        owner=st.sampled_from(["", "alice", "bob"]),
        tag=st.sampled_from(["", "red"]),
    )
    def submit(self, job_id: str, begin: Begin, delay: int, after: str, owner: str, tag: str) -> None:
        after = "" if after == job_id else after
        self.number += 1
        wish = Wish(begin, self.now + delay if begin == "later" else 0, after, owner, tag, f"m{self.number}")
        given = plan(
            job_id,
            message=wish.message,
            start=wish.start or None,
            after=after,
            suspended=begin == "idle",
            owner=owner,
            tags=(tag,) if tag else (),
        )
        if after and after not in self.model:
            with pytest.raises(JobUnknown):
                self.store.create(given, "client")
            return
        verdict = self.store.create(given, "client")
        job = self.model.setdefault(job_id, Model())
        if job.path and job.state.is_live and not job.may("replace"):
            job.next = wish
            assert (verdict.code, verdict.state, verdict.run) == ("next", job.state, job.run)
            return
        if job.may("replace") and job.path:
            job.go("replace")
        job.owner, job.tag, job.message = owner, tag, wish.message
        self.begin(job, wish)
        assert (verdict.code, verdict.state, verdict.run) == ("ok", job.state, job.run)

    @rule(job_id=jobs)
    def suspend(self, job_id: str) -> None:
        def act() -> Any:
            return self.store.suspend(job_id, "client")

        job = self.model.get(job_id)
        if not job or not job.may("suspend"):
            return self.refused(job_id, "suspend", act)
        assert act().state == State.SUSPENDED
        job.go("suspend")
        job.start, job.owed = 0, False

    @rule(job_id=jobs, delay=st.one_of(st.none(), st.integers(-5, 30)))
    def change_start(self, job_id: str, delay: int | None) -> None:
        def act() -> Any:
            return self.store.change_start(job_id, None if delay is None else self.now + delay, "client")

        job = self.model.get(job_id)
        ahead = delay is not None and delay > 0
        verb = "change_start" if ahead else "await_predecessor" if job and self.held(job) else "enqueue"
        if not job or not job.may(verb):
            return self.refused(job_id, verb, act)
        verdict = act()
        job.go(verb)
        job.start = self.now + (delay or 0) if ahead else self.now
        job.owed = verb == "enqueue"
        assert verdict.publish == (((job_id, job.run, job.message),) if job.owed else ())

    @rule(job_id=jobs)
    def remove(self, job_id: str) -> None:
        def act() -> Any:
            return self.store.remove(job_id, "client", "not needed")

        job = self.model.get(job_id)
        if not job or not job.may("remove"):
            return self.refused(job_id, "remove", act)
        job.owed = job.owed or job.state is not State.QUEUED
        assert act().state == State.REMOVING
        job.go("remove")

    # -- workers -------------------------------------------------------------------------------------------------

    @rule(job_id=jobs, off=st.sampled_from([0, 0, 0, -1, 1]))
    def claim(self, job_id: str, off: int) -> None:
        job = self.model.get(job_id)
        run = (job.run if job else 1) + off
        token = f"{job_id}{run}"
        before = self.world.picture()
        claim = self.store.claim(job_id, run, token, WORKER, 7, redelivered=False, plan=plan(job_id))
        if job and not off and job.may("claim"):
            assert (claim.code, claim.checkpoint, claim.owner) == ("ok", job.checkpoint, job.owner)
            job.go("claim")
            job.owed = False
            return
        removing = job and job.state is State.REMOVING
        running = job and job.state in ACTIVE
        whole = "removing" if removing else "again" if running else "refused"
        # A claim this run has had already, and that has ended since, is as stale as one of another run.
        if whole == "refused" and job and job.claimed:
            whole = "stale"
        assert claim.code == ("missing" if not job else "stale" if off else whole)
        assert self.world.picture() == before

    @rule(job_id=jobs)
    @precondition(lambda self: any(job.state in ACTIVE for job in self.model.values()))
    def save(self, job_id: str) -> None:
        job = self.model.get(job_id)
        if job and job.state in ACTIVE:
            job.checkpoint = f'"{self.number}"'
            self.store.write(job_id, holder(job.run, f"{job_id}{job.run}"), {"checkpoint": job.checkpoint})

    @rule(job_id=jobs, verb=ends, again=st.booleans())
    def finish(self, job_id: str, verb: str, again: bool) -> None:
        job = self.model.get(job_id)
        outcome = Outcome.SUCCEEDED if verb == "finish" else Outcome.FAILED
        end = End((verb,), outcome, keep=KEEP, again=0.0 if again else None)
        mine = holder(job.run, f"{job_id}{job.run}") if job and job.state in ACTIVE else Settled(None, "", WORKER)

        def act() -> Any:
            return self.store.finish(job_id, mine, end)

        if not job or not job.may(verb):
            return self.refused(job_id, verb, act)
        verdict = act()
        run, length = job.run, len(job.path)
        self.end(job_id, verb, again=again)
        last = [state for number, state in job.path[length:] if number == run][-1]
        assert (verdict.code, verdict.state, verdict.run) == ("ok", last, run)
        for published, number, message in verdict.publish:
            assert self.model[published].owed
            assert (number, message) == (self.model[published].run, self.model[published].message)

    @rule(job_id=jobs)
    def removal_comes_through_the_queue(self, job_id: str) -> None:
        def act() -> Any:
            end = End(("confirm_removal",), Outcome.REMOVED, keep=KEEP)
            return self.store.finish(job_id, Settled(None, "", WORKER), end)

        job = self.model.get(job_id)
        if not job or not job.may("confirm_removal"):
            return self.refused(job_id, "confirm_removal", act)
        act()
        self.end(job_id, "confirm_removal")

    @rule(job_id=jobs, verb=ends)
    def a_stranger_ends_it(self, job_id: str, verb: str) -> None:
        def act() -> Any:
            return self.store.finish(job_id, STRANGER, End((verb,), Outcome.FAILED, keep=KEEP))

        job = self.model.get(job_id)
        if not job or (job.run == STRANGER.run and not job.claimed):
            return self.refused(job_id, verb, act)
        before = self.world.picture()
        with pytest.raises(Fenced):
            act()
        assert self.world.picture() == before

    # -- time, keepers, and the wire -----------------------------------------------------------------------------

    @rule(ms=st.integers(0, 40))
    def time_passes(self, ms: int) -> None:
        self.world.advance(ms)

    @rule(published=st.booleans())
    def a_keeper_publishes(self, published: bool) -> None:
        for job in self.model.values():
            if job.state is State.WAITING_FOR_START and job.start <= self.now:
                job.owed = not self.held(job)
                job.to(State.QUEUED if job.owed else State.WAITING_FOR_PREDECESSOR)
        _, owed = self.store.take("keeper")
        for job_id, run, message in owed:
            assert self.model[job_id].owed
            assert (run, message) == (self.model[job_id].run, self.model[job_id].message)
        if published:
            self.store.published([job_id for job_id, _, _ in owed])
            for job_id, _, _ in owed:
                self.model[job_id].owed = False

    @rule()
    def a_keeper_prunes(self) -> None:
        over = {job_id for job_id, job in self.model.items() if job.state in ENDED and job.expires <= self.now}
        assert self.store.prune() == len(over)
        for job_id in over:
            del self.model[job_id]

    @rule(flush=st.booleans())
    @precondition(lambda self: self.last and self.last[0] not in ("take", "prune"))
    def the_last_call_is_sent_again(self, flush: bool) -> None:
        if flush:
            self.world.client.script_flush()
        before = self.world.picture()
        self.store.run(*self.last)
        assert self.world.picture() == before

    # -- what must hold ------------------------------------------------------------------------------------------

    @initialize()
    def the_table_is_not_empty(self) -> None:
        assert VERBS

    @invariant()
    def keys_agree_with_each_other(self) -> None:
        self.world.check()

    @invariant()
    def the_store_agrees_with_the_model(self) -> None:
        ready = {job_id for job_id, job in self.model.items() if job.state in READY}
        # What is owed no more because it was claimed goes when a keeper comes by.
        assert self.world.holds("outbox") & ready == {job_id for job_id in ready if self.model[job_id].owed}
        for job_id in "abc":
            record, job = self.world.record(job_id), self.model.get(job_id)
            if job is None:
                assert not record
                continue
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

"""Any order of what families, locks and hosts allow: what must hold does after every step, and all comes to an end.

``HYPOTHESIS_PROFILE=nightly`` looks longer.
"""

from __future__ import annotations

import os
from typing import Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis import Redis

from jobkit.errors import Fenced, IllegalTransition, JobNotFound
from jobkit.locks import Lock, Rate, Semaphore
from jobkit.states import VERBS, Category, Outcome, State
from jobkit.store import End, Settled, blocks, families, locks
from tests.store.checks import ACTIVE
from tests.store.test_machine import PROFILES
from tests.store.world import World, holder, plan

ids = st.sampled_from(["a", "b", "c", "d"])
wanted = st.lists(
    st.sampled_from([Lock("x"), Lock("y", shared=True), Lock("z"), Semaphore("s", 2), Rate("r", 1, 60)]),
    max_size=3,
    unique=True,
).map(tuple)
END_OF = {verb.target: verb.name for verb in VERBS.values() if verb.target.category is Category.ENDED}


class Families(RuleBasedStateMachine):
    """Each step does one thing; what the graph forbids is refused and changes nothing."""

    def __init__(self, client: Redis) -> None:
        super().__init__()
        client.flushdb()
        self.world = World(client)
        self.store = self.world.store

    def attempt(self, act: Any) -> Any:
        before = self.world.picture()
        try:
            return act()
        except JobNotFound:
            return None
        except (IllegalTransition, Fenced):
            assert self.world.picture() == before
            return None

    def record(self, job_id: str) -> dict[str, str]:
        return self.world.record(job_id)

    # -- clients -----------------------------------------------------------------------------------------------

    @rule(job_id=ids, want=wanted, host=st.sampled_from(["", "", "eu"]), delay=st.sampled_from([0, 0, 30]))
    def submit(self, job_id: str, want: tuple[Lock, ...], host: str, delay: int) -> None:
        start = self.world.now + delay if delay else None
        self.attempt(lambda: self.world.submit(job_id, locks=want, host=host, start=start))

    @rule(job_id=ids, verb=st.sampled_from(["suspend", "remove", "resume"]))
    def move(self, job_id: str, verb: str) -> None:
        if verb == "resume":
            self.attempt(lambda: self.store.change_start(job_id, None, "client"))
        else:
            self.attempt(lambda: getattr(self.store, verb)(job_id, "client"))

    @rule(job_id=ids, verb=st.sampled_from(["cancel", "time_over"]))
    def ask(self, job_id: str, verb: str) -> None:
        self.attempt(lambda: self.store.ask(job_id, verb, "client"))

    @rule(up=st.booleans())
    def host(self, up: bool) -> None:
        if up:
            while (verdict := blocks.unblock(self.store, "host", "eu", "client")) and verdict.run:
                pass
        else:
            blocks.block(self.store, "host", "eu", "offline", "", None, "client")

    # -- workers -----------------------------------------------------------------------------------------------

    @rule(job_id=ids)
    def claim(self, job_id: str) -> None:
        run = int(self.record(job_id).get("run", 1))
        self.world.claim(job_id, run, f"{job_id}{run}")

    @rule(parent=ids, child=ids, want=wanted, upon=st.sampled_from(["fail", "ignore", "abort_siblings"]))
    def spawn(self, parent: str, child: str, want: tuple[Lock, ...], upon: str) -> None:
        over = self.record(parent)
        if parent == child or over.get("state") not in ACTIVE or self.is_above(child, parent):
            return
        fence = f"{over['run']} {over['token']}"
        given = plan(child, up=parent, upon=upon, fence=fence, locks=want, facts={"parent": parent})
        self.attempt(lambda: self.store.create(given, "client"))

    def is_above(self, one: str, other: str) -> bool:
        while up := self.record(other).get("up"):
            if up == one:
                return True
            other = up
        # Somebody's own child, or a job that stands for itself, is nobody else's.
        return bool(self.record(one)) and State(self.record(one)["state"]).is_live

    @rule(job_id=ids, number=st.integers(0, 2))
    def register(self, job_id: str, number: int) -> None:
        record = self.record(job_id)
        if record.get("state") in ACTIVE:
            run = int(record["run"])
            undo = plan(f"{job_id}-undo{number}")
            self.attempt(lambda: families.keep(self.store, job_id, holder(run, f"{job_id}{run}"), "rollback", undo))

    @rule(job_id=ids, how=st.sampled_from(["finish", "fail", "abort", "again"]), deferred=st.booleans())
    def finish(self, job_id: str, how: str, deferred: bool) -> None:
        record = self.record(job_id)
        run = int(record.get("run", 1))
        outcome = Outcome.SUCCEEDED if how == "finish" else Outcome.FAILED
        facts = {"deferred": "1"} if deferred and "spawned" in record else {}
        end = End(("fail" if how == "again" else how,), outcome, facts=facts, again=0.0 if how == "again" else None)
        self.attempt(lambda: self.store.finish(job_id, holder(run, f"{job_id}{run}"), end))

    @rule(job_id=ids)
    def confirm_removal(self, job_id: str) -> None:
        end = End(("confirm_removal",), Outcome.REMOVED)
        if self.record(job_id).get("state") == State.REMOVING and "ending" not in self.record(job_id):
            self.attempt(lambda: self.store.finish(job_id, Settled(None, "", "w|"), end))

    # -- keepers -----------------------------------------------------------------------------------------------

    @rule(ms=st.sampled_from([10, 5_000, 60_000]))
    def time_passes(self, ms: int) -> None:
        self.world.advance(ms)
        self.store.take("keeper")
        locks.grant(self.store, "keeper")

    @rule(job_id=ids)
    def settle(self, job_id: str) -> None:
        """What the seam to Celery does, in short."""
        if not self.record(job_id) or not (ending := families.look(self.store, job_id).ending):
            return
        kept = families.look(self.store, job_id)
        told, failed = kept.fields.get("told"), kept.fields.get("failed")
        well = ending["target"] == State.FINISHED and not told and not failed
        if families.settle(self.store, job_id, "settler", bad=not well).code != "end":
            return
        verb = END_OF[State(ending["target"])]
        if ending["target"] == State.FINISHED and not well:
            verb = (
                {State.CANCELLING_BY_USER: "confirm_cancel", State.CANCELLING_BY_SYSTEM: "confirm_timeout"}.get(
                    State(told), "fail"
                )
                if told
                else "fail"
            )
        end = End((verb,), Outcome.SUCCEEDED if well else Outcome.FAILED)
        assert self.store.finish(job_id, Settled(int(kept.fields["run"]), kept.fields["token"], "settler|"), end)

    @rule(job_id=ids, number=st.integers(0, 2), well=st.booleans())
    def undo(self, job_id: str, number: int, well: bool) -> None:
        name = f"{job_id}-undo{number}"
        if self.record(name).get("state") == State.QUEUED:
            run = int(self.record(name)["run"])
            self.world.claim(name, run, f"{name}{run}")
            end = End(("finish" if well else "fail",), Outcome.SUCCEEDED if well else Outcome.FAILED)
            self.store.finish(name, holder(run, f"{name}{run}"), end)

    # -- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def everything_agrees(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        """Nobody waits for somebody who waits for him: whatever there is comes to an end, and no lock is left."""
        for _ in range(60):
            self.host(True)
            self.time_passes(60_000)
            for job_id in "abcd":
                if self.record(job_id).get("state") in (State.SUSPENDED, State.WAITING_FOR_START):
                    self.move(job_id, "resume")
                self.claim(job_id)
                for number in range(3):
                    self.undo(job_id, number, True)
                self.finish(job_id, "finish", False)
                self.confirm_removal(job_id)
                self.settle(job_id)
            live = [job_id for job_id in "abcd" if self.record(job_id) and State(self.record(job_id)["state"]).is_live]
            if not live:
                break
        assert not live, {job_id: self.record(job_id) for job_id in live}
        self.world.check()
        assert locks.listing(self.store) == ()


@pytest.mark.timeout(7200)
def test_any_order_of_families_and_locks(client: Redis) -> None:
    profile = PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "default")]
    run_state_machine_as_test(cast(Any, lambda: Families(client)), settings=profile)

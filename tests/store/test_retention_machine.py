"""Any order of ends, readings, pins, families and time, against a small model of what is kept and what goes first.

``HYPOTHESIS_PROFILE=nightly`` looks longer; see test_machine.py.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis import Redis

from jobkit.errors import JobExpired, JobUnknown
from jobkit.store import Limits
from tests.store.test_machine import PROFILES
from tests.store.test_retention import DONE
from tests.store.world import World, holder, reader

CAP, LEAST = 4, 30  # jobs, ms
FAMILY = "family"

ids = st.sampled_from("abcdefgh")
owners = st.sampled_from(["", "x", "y"])
times = st.sampled_from([1, 10, 40, 100])  # ms


@dataclass
class Kept:
    """One job there is a record of."""

    owner: str
    run: int
    kin: str
    keep: int
    live: bool = True
    ended: int = 0
    expires: int = 0
    place: int = 0  # in the list of its owner: last use, and as long as it is kept; 0 while it is in none
    pins: dict[str, int] = field(default_factory=dict)


class Retaining(RuleBasedStateMachine):
    """The store, and what should be left of it."""

    def __init__(self, client: Redis) -> None:
        super().__init__()
        client.flushdb()
        self.world = World(client)
        self.world.store.limits = Limits(jobs=CAP, least=LEAST)
        self.jobs: dict[str, Kept] = {}
        self.gone: dict[str, str] = {}
        self.runs: Counter[str] = Counter()
        self.held: list[str] = []
        self.family_due: int | None = None
        self.family_ended = 0

    # -- the model -----------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        return self.world.now

    def listed(self, owner: str | None = None) -> dict[str, Kept]:
        return {i: job for i, job in self.jobs.items() if job.place and owner in (None, job.owner)}

    def drop(self, job_id: str, why: str) -> None:
        del self.jobs[job_id]
        self.gone[job_id] = why

    def evict(self, most: int) -> None:
        for _ in range(most):
            counts = Counter(job.owner for job in self.listed().values())
            if not counts:
                return
            owner = max(counts, key=lambda name: (counts[name], name))
            victim = min(self.listed(owner), key=lambda job_id: (self.jobs[job_id].place, job_id))
            if self.now - self.jobs[victim].ended < LEAST:
                return
            self.drop(victim, "cap")

    def enlist(self, job: Kept) -> None:
        job.place = 0 if job.pins else job.expires

    # -- what happens --------------------------------------------------------------------------------------------

    @rule(job_id=ids, owner=owners, keep=times, kin=st.sampled_from(["", "", "", FAMILY]))
    def start(self, job_id: str, owner: str, keep: int, kin: str) -> None:
        job = self.jobs.get(job_id)
        if job and job.live:
            return
        self.world.submit(job_id, owner=owner, keep=keep, kin=kin)
        run = job.run + 1 if job else 1
        assert self.world.claim(job_id, run).code == "ok"
        self.jobs[job_id] = Kept(owner, run, kin, keep, pins=job.pins if job else {})
        self.gone.pop(job_id, None)
        if job_id in self.held:
            self.held.remove(job_id)
        if kin:
            self.family_due = None

    @rule(job_id=ids)
    def finish(self, job_id: str) -> None:
        job = self.jobs.get(job_id)
        if not job or not job.live:
            return
        self.world.store.finish(job_id, holder(job.run), DONE._replace(keep=7))
        job.live, job.ended = False, self.now
        if job.kin:
            self.held.append(job_id)
            if not any(other.live and other.kin for other in self.jobs.values()):
                self.family_ended, self.family_due = self.now, self.now + min(LEAST, job.keep)
            return
        job.expires = self.now + job.keep
        self.enlist(job)
        if job.place:
            self.evict(min(2, len(self.listed()) - CAP))

    @rule(job_id=ids)
    def read(self, job_id: str) -> None:
        job = self.jobs.get(job_id)
        if job is None:
            return
        reader(self.world).get(job_id)
        if job.place:
            job.place = self.now + job.keep

    @rule(ms=times)
    def pass_time(self, ms: int) -> None:
        self.world.advance(ms)

    @rule(job_id=ids, pinner=st.sampled_from(["me", "you"]), ms=times)
    def pin(self, job_id: str, pinner: str, ms: int) -> None:
        refused = self.world.store.pin(pinner, ms / 1000, [job_id])
        job = self.jobs.get(job_id)
        assert refused == ({} if job else {job_id: "missing"})
        if job:
            job.pins[pinner] = self.now + ms
            job.place = 0

    @rule(job_id=ids, pinner=st.sampled_from(["me", "you"]))
    def unpin(self, job_id: str, pinner: str) -> None:
        held = self.world.store.unpin(pinner, [job_id])
        job = self.jobs.get(job_id)
        assert held == int(bool(job and pinner in job.pins))
        if job and job.pins.pop(pinner, None):
            self.let_lapse(job)

    def let_lapse(self, job: Kept) -> None:
        for name in [name for name, till in job.pins.items() if till <= self.now]:
            del job.pins[name]
        if not job.pins and not job.live and job.expires:
            self.enlist(job)

    @rule()
    def settle(self) -> None:
        self.world.store.let_go()
        self.world.store.prune()
        for job in self.jobs.values():
            if job.pins and max(job.pins.values()) <= self.now:
                self.let_lapse(job)
        if self.family_due is not None and self.family_due <= self.now:
            for job_id in self.held:
                job = self.jobs[job_id]
                job.expires = self.family_ended + job.keep
                self.enlist(job)
            self.held, self.family_due = [], None
        for job_id in [job_id for job_id, job in self.listed().items() if job.expires <= self.now]:
            self.drop(job_id, "age")
        self.evict(len(self.listed()) - CAP)

    @rule(job_id=ids)
    def forget(self, job_id: str) -> None:
        job = self.jobs.get(job_id)
        if job and not job.live:
            reader(self.world).forget(job_id)
            self.drop(job_id, "deleted")
            if job_id in self.held:
                self.held.remove(job_id)

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def the_store_agrees_with_the_model(self) -> None:
        self.world.check()
        prefix = self.world.keys.job("")
        there = {key.decode().removeprefix(prefix) for key in self.world.client.keys(prefix + "*")}
        assert there == self.jobs.keys()
        for owner in ("", "x", "y"):
            found = dict(self.world.client.zrange(self.world.keys.key("ended", owner), 0, -1, withscores=True))
            assert found == {job_id.encode(): job.place for job_id, job in self.listed(owner).items()}

    @invariant()
    def what_has_gone_is_not_unknown(self) -> None:
        for job_id in "abcdefgh":
            if job_id in self.gone:
                with pytest.raises(JobExpired) as caught:
                    self.world.store.read(job_id, "state")
                assert caught.value.why == self.gone[job_id]
            elif job_id not in self.jobs:
                with pytest.raises(JobUnknown):
                    self.world.store.read(job_id, "state")


@pytest.mark.timeout(7200)
def test_any_order_of_ends_and_readings(client: Redis) -> None:
    profile = PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "default")]
    run_state_machine_as_test(cast(Any, lambda: Retaining(client)), settings=profile)

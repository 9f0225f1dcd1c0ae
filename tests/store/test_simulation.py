"""T2: three workers, their keepers and some clients in one thread, by one seeded plan; an hour's trouble in no time.

Every call of a script may be delayed, sent twice because its answer was lost, or be the last thing its caller does; a
worker may die or freeze between any two calls, and the broker loses messages and delivers them twice.  The services and
the verbs are the real ones, on a real Redis; only the clock, the broker and the bodies are played.

``SEEDS=7,8,9`` runs those alone, ``SEEDS=5000`` so many.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import greenlet
import pytest
from redis import Redis

from jobkit.errors import Fenced, IllegalTransition, JobUnknown
from jobkit.services import leases, lost_messages, publishing, strays
from jobkit.services.leases import Heartbeat
from jobkit.services.lost_messages import Search
from jobkit.services.strays import Strays
from jobkit.states import Category, Outcome, State
from jobkit.store import End, Settled, Verdict, records, workers
from jobkit.store.values import operation
from tests.chaos.evidence import ACCEPTED, CUT_OFF, END, FROZEN, GONE, HOOK, SAVED, START, THAWED, Line
from tests.chaos.oracle import Case, Record, judge
from tests.store.world import NOW, World, plan

LEASE, RENEW = 10.0, 3.0
#: Seconds of virtual time in which things go wrong, and until everything must have ended.
TROUBLE, LIMIT = 30.0, 400.0
JOBS, WORKERS, SLOTS = 10, 3, 2
SEEDS = os.environ.get("SEEDS", "100")


class Actor:
    """Something that goes on by itself, and gives way before and after every call."""

    def __init__(self, sim: Sim, worker: str, story: Callable[[Actor], None]) -> None:
        self.sim, self.worker = sim, worker
        self.wake = sim.now
        self.switch = greenlet.greenlet(lambda: story(self))


class Sim:
    """One run by one seed."""

    def __init__(self, client: Redis, seed: int) -> None:
        client.flushdb()
        self.chance = random.Random(seed)
        random.seed(seed)  # of the services
        self.world = World(client)
        self.now = 0.0
        self.hub = greenlet.getcurrent()
        self.actors: list[Actor] = []
        self.current: Actor | None = None
        self.lines: list[Line] = []
        self.queue: list[tuple[str, int]] = []
        self.reserved: dict[str, set[str]] = {}
        self.frozen: set[str] = set()
        self.dead: list[Actor] = []
        self.names = 0
        self.store = self.world.store
        self._run = self.store.run
        self.store.run = self.run  # type: ignore[method-assign]

    # -- time and fate -------------------------------------------------------------------------------------------

    @property
    def calm(self) -> bool:
        return self.now >= TROUBLE

    def monotonic(self) -> float:
        """What the services take for CLOCK_MONOTONIC."""
        return self.now + 1000

    def run(self, script: str, *args: Any, late: str = "", sure: Sequence[str] = ()) -> Any:
        """Call a script: late, twice, or as the last thing the caller does."""
        self.pause(self.chance.random() * 0.05)
        answer = self.execute(script, *args)
        if not self.calm and self.chance.random() < 0.08:
            self.pause(self.chance.random() * 2)  # the answer is lost, and the same is sent once more
            answer = self.execute(script, *args)
        self.pause(self.chance.random() * 0.05)
        return answer

    def execute(self, script: str, *args: Any) -> Any:
        """Run it at this moment."""
        if (now := NOW + int(self.now * 1000)) != self.world.now:
            self.world.advance(now - self.world.now)
        return self._run(script, *args)

    def pause(self, seconds: float) -> None:
        """Let the others go on."""
        if self.current is not None:
            self.current.wake = self.now + seconds
            self.hub.switch()

    def spawn(self, worker: str, story: Callable[[Actor], None]) -> None:
        self.actors.append(Actor(self, worker, story))

    def note(self, what: str, job: str = "", run: int = 0, worker: str = "", **more: Any) -> None:
        self.lines.append(Line(what, self.now, job, run, worker, 0, more))

    def go_on(self) -> None:
        """Until every job has ended and was told so."""
        look, quiet = TROUBLE, 0
        while self.now < LIMIT and quiet < 3:  # who was let tell may still be about to
            if self.now >= look:
                look, quiet = self.now + 1, quiet + 1 if self.is_over() else 0
            actor = min(self.actors, key=lambda actor: (actor.wake, self.chance.random()))
            if actor.wake > self.now:
                self.now = actor.wake
            self.current = actor
            actor.switch.switch()
            self.current = None
            self.actors = [actor for actor in self.actors if not actor.switch.dead]
        for actor in (*self.actors, *self.dead):
            actor.switch.throw(greenlet.GreenletExit)

    def is_over(self) -> bool:
        ended = sum(self.world.client.zcard(self.world.keys.state(state)) for state in State if not state.is_live)
        owed = self.world.holds("outbox") | self.world.holds("suspects")
        held = self.world.client.keys(self.world.keys.key("held", "*"))
        return ended == len(self.world.client.keys(self.world.keys.job("*"))) and not (owed or held or self.frozen)

    # -- workers -------------------------------------------------------------------------------------------------

    def start_worker(self) -> None:
        """A worker: a keeper, and slots."""
        self.names += 1
        worker = f"w{self.names}|boot{self.names}"
        self.reserved[worker] = set()
        self.spawn(worker, self.keep)
        for _ in range(SLOTS):
            self.spawn(worker, self.work)

    def mishap(self, _: Actor) -> None:
        """Now and then a worker dies, or freezes."""
        while not self.calm:
            self.pause(self.chance.uniform(1, 8))
            awake = sorted({actor.worker for actor in self.actors if actor.worker} - self.frozen)
            if awake:
                hurt = self.kill if self.chance.random() < 0.6 else self.freeze
                hurt(self.chance.choice(awake))

    def kill(self, worker: str) -> None:
        crew = [actor for actor in self.actors if actor.worker == worker]
        self.actors = [actor for actor in self.actors if actor.worker != worker]
        self.dead += crew  # kept: what is let go is thrown out, and would still do its last lines
        self.note(GONE, worker=worker.partition("|")[0])
        self.start_worker()

    def freeze(self, worker: str) -> None:
        asleep = self.chance.uniform(1, 30)
        for actor in self.actors:
            if actor.worker == worker:
                actor.wake = max(actor.wake, self.now + asleep)
        self.frozen.add(worker)
        self.note(FROZEN, worker=worker.partition("|")[0])
        self.spawn("", lambda _: self.thaw(worker, asleep))

    def thaw(self, worker: str, seconds: float) -> None:
        self.pause(seconds)
        self.frozen.remove(worker)
        self.note(THAWED, worker=worker.partition("|")[0])

    def keep(self, actor: Actor) -> None:
        """The real duties of a keeper, in turn."""
        heart = Heartbeat(self.store, actor.worker, LEASE, RENEW)
        search = Search(self.store, self.reserved[actor.worker], lambda _: len(self.queue), LEASE / 2)
        busy = self.reserved[actor.worker]
        stray = Strays(self.store, actor.worker, lambda: busy, LEASE, lambda lost: self.settle(actor.worker, lost))
        duties: list[Callable[[], object]] = [
            heart.run_once,
            lambda: leases.rescue(heart, lambda lost: self.settle(actor.worker, lost)),
            lambda: publishing.run_once(self.store, self.publish, actor.worker),
            search.run_once,
            stray.run_once,
        ]
        while True:
            for duty in duties:
                duty()
            self.pause(1.0)

    def settle(self, worker: str, lost: workers.Lost) -> None:
        """A run, or the telling of its end, that died with its worker: as `jobkit.ext.lost` does."""
        if State(lost.state).category is not Category.RUNNING:
            run, token, teller = (*lost.hook.split(" "), "", "")[:3]
            nobody = token.startswith("!?") or not token
            if not nobody:
                self.note(CUT_OFF, lost.id, int(run), worker)
            self.done(lost.id, (int(run), token, teller or worker), untold=nobody, interrupted="" if nobody else "died")
            return
        again = 0.0 if self.chance.random() < 0.9 else None
        end = End(("abort",), Outcome.FAILED, "vanished", again=again, hook=True)
        self.finish(lost.id, Settled(lost.run, "", worker), end)

    def publish(self, job_id: str, run: int) -> None:
        """To the broker, which loses some and doubles others; a message is the id of its job."""
        fate = 1.0 if self.calm else self.chance.random()
        self.pause(self.chance.random() * 0.05)
        if fate > 0.03:
            self.queue.append((job_id, run))
        if 0.03 < fate < 0.06:
            self.queue.append((job_id, run))

    def work(self, actor: Actor) -> None:
        """A slot: take a message, claim, execute, end, tell."""
        mine = self.reserved[actor.worker]
        while True:
            self.pause(self.chance.random() * 0.5)
            if not self.queue:
                continue
            job_id, run = self.queue.pop(0)
            mine.add(job_id)
            self.receive(actor, job_id, run)
            mine.discard(job_id)

    def receive(self, actor: Actor, job_id: str, run: int) -> None:
        token = operation()
        claim = self.store.claim(job_id, run, token, actor.worker, 1, redelivered=False, plan=plan(job_id))
        node = actor.worker.partition("|")[0]
        if claim.hook:
            self.tell(job_id, (int(claim.hook), token, actor.worker))
        holder = Settled(claim.run, token, actor.worker)
        if claim.code == "removing":
            end = End(("confirm_removal",), Outcome.REMOVED, here=True)
            self.end(job_id, Settled(None, "", actor.worker), end)
        elif claim.code in ("ok", "again"):
            self.note(START, job_id, run, node)
            end = self.body(job_id, holder, node)
            self.note(END, job_id, run, node, how="returned")
            self.end(job_id, holder, end)

    def body(self, job_id: str, holder: Settled, node: str) -> End:
        """Saves some checkpoints, and ends in one of many ways."""
        for _ in range(self.chance.randrange(4)):
            self.pause(self.chance.uniform(0, 2))
            since = self.now
            try:
                self.store.write(job_id, holder, {"checkpoint": f'"{holder.run}"'})
            except (Fenced, JobUnknown):
                return End(("fail",), Outcome.FAILED, here=True)
            self.note(SAVED, job_id, holder.run or 0, node, since=since)
        if self.chance.random() < 0.2:
            return End(("fail",), Outcome.FAILED, again=self.chance.uniform(0, 3), here=True)
        facts = {"meta": str(holder.run)}
        return End(("finish",), Outcome.SUCCEEDED, here=True, facts=facts)

    def end(self, job_id: str, holder: Settled, end: End) -> None:
        verdict = self.finish(job_id, holder, end)
        if verdict:
            hook = (verdict.run, operation(), holder.worker)
            if self.store.tell(job_id, hook):
                self.tell(job_id, hook)

    def finish(self, job_id: str, holder: Settled, end: End) -> Verdict | None:
        try:
            verdict = self.store.finish(job_id, holder, end)
        except (Fenced, IllegalTransition, JobUnknown):
            return None
        self.pass_on(verdict)
        return verdict

    def tell(self, job_id: str, hook: tuple[int, str, str]) -> None:
        text = self.world.record(job_id).get("path", "")
        ended = [step.target for step in records.path(job_id, text) if step.run == hook[0]][-1]
        self.note(HOOK, job_id, hook[0], hook[2].partition("|")[0], state=ended.value)
        self.done(job_id, hook)

    def done(self, job_id: str, hook: tuple[int, str, str], **what: Any) -> None:
        try:
            self.pass_on(self.store.told(job_id, hook, **what))
        except (Fenced, IllegalTransition, JobUnknown):
            return

    def pass_on(self, verdict: Verdict) -> None:
        """Publish what is to be published."""
        for _, run, message in sorted(verdict.publish):
            self.publish(message, run)
        self.store.published([published for published, _, _ in verdict.publish])

    # -- clients -------------------------------------------------------------------------------------------------

    def client(self, actor: Actor) -> None:
        """Submits jobs of every kind; cancels and moves some."""
        for number in range(JOBS):
            job_id = f"j{number}"
            self.pause(self.chance.uniform(0, 2))
            start = NOW + int((self.now + self.chance.uniform(0, 20)) * 1000) if self.chance.random() < 0.3 else None
            after = f"j{self.chance.randrange(number)}" if number and self.chance.random() < 0.2 else ""
            verdict = self.store.create(plan(job_id, message=job_id, start=start, after=after), "client")
            self.note(ACCEPTED, job_id)
            if verdict.state == State.QUEUED:
                self.publish(job_id, verdict.run)
                self.store.published([job_id])
            if self.chance.random() < 0.15:
                self.change(self.chance.choice([f"j{n}" for n in range(number + 1)]))

    def change(self, job_id: str) -> None:
        try:
            if self.chance.random() < 0.5:
                verdict = self.store.remove(job_id, "client")
            else:
                verdict = self.store.change_start(job_id, None, "client")
        except IllegalTransition:
            return
        self.pass_on(verdict)

    # -- judging -------------------------------------------------------------------------------------------------

    def case(self) -> Case:
        """What there is to judge."""
        found = {}
        for key in self.world.client.keys(self.world.keys.job("*")):
            job_id = key.decode().removeprefix(self.world.keys.job(""))
            fields = self.world.record(job_id)
            result = int(fields["meta"]) if "meta" in fields else None
            found[job_id] = Record(job_id, records.path(job_id, fields["path"]), result)
        base = self.world.keys.base
        left = {key.decode(): 1 for key in self.world.client.keys(f"{base}held:*")}
        left |= {kind: len(self.world.holds(kind)) for kind in ("due", "outbox", "suspects")}
        return Case(self.lines, found, left, NOW / 1000)


@contextmanager
def virtual(sim: Sim) -> Iterator[None]:
    """The services read the clock of the simulation, and nothing else decides what happens."""
    rescue = workers.rescue
    with pytest.MonkeyPatch.context() as patch:
        for service in (leases, lost_messages, strays):
            patch.setattr(service, "time", sim)
        # A set of Redis has an order of its own in each of its lives.
        patch.setattr(workers, "rescue", lambda *args: sorted(rescue(*args)))
        yield


def simulate(client: Redis, seed: int) -> Sim:
    """Run one seed to its end."""
    sim = Sim(client, seed)
    sim.store.call = lambda what: what()  # type: ignore[method-assign]
    with virtual(sim):
        for _ in range(WORKERS):
            sim.start_worker()
        sim.spawn("", sim.client)
        sim.spawn("", sim.mishap)
        sim.go_on()
    return sim


def seeds() -> list[int]:
    return [int(seed) for seed in SEEDS.split(",")] if "," in SEEDS else list(range(int(SEEDS)))


@pytest.mark.timeout(7200)
def test_whatever_happens_in_whatever_order(client: Redis) -> None:
    seen: Counter[str] = Counter()
    for seed in seeds():
        sim = simulate(client, seed)
        # What a body does after it was frozen is for tests with real processes.
        findings = [finding for finding in judge(sim.case()) if finding.rule != "bodies_do_not_overlap"]
        assert findings == [], f"SEEDS={seed},"
        sim.world.check()
        seen.update(line.what for line in sim.lines)
        seen.update(step.target.value for record in sim.case().records.values() for step in record.path)
    print(dict(seen))
    if len(seeds()) > 50:
        assert {"ABORTED_RESTART", "ERROR_RETRY", "REMOVED", "FINISHED", "frozen", "gone"} <= set(seen)

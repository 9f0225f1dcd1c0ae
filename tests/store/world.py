"""What the store's tests share: a clock, jobs put into any state, pictures of the keyspace, what must always hold."""

from __future__ import annotations

import json
from typing import Any

from redis import Redis

from jobkit.client import Client
from jobkit.states import State, steps
from jobkit.store import Claim, JobStore, Plan, Settled, Verdict, records
from jobkit.store.scripts import assembled
from tests.store.checks import ACTIVE, ENDED, Check, texts

#: Redis time at which every test begins, ms.
NOW = 4_000_000_000_000
WORKER = "w1@host|boot1"
MESSAGE = '{"task": "shop.pack"}'

#: A verb that is nothing but its row of the table, made of the library every script is made of.
_WALK = assembled(
    """
local job, at = load(ARGV[1]), clock()
if seen(job, ARGV[2]) then return {"again", job.state, job.run} end
local targets, blocked = walk(job.state or "", ARGV[3])
if not targets then return {"refused", job.state or "", job.run, blocked} end
local born = not job.state
if born then job.run = 1 end
record(job, targets, at, ARGV[2], "tester", "because", born)
save(job, at)
return {"ok", job.state, job.run}
""",
    test_clock=True,
    flags=False,
)

Picture = dict[bytes, tuple[bytes, bool]]


class World:
    """One namespace on a real Redis, with a clock that stands until it is moved."""

    def __init__(self, client: Redis, namespace: str = "shop") -> None:
        self.client: Any = client
        self.store = JobStore(client, namespace, url="redis://test", patience=1.0, test_clock=True)
        self.keys = self.store.keys
        self.now = NOW
        self.advance(0)

    def advance(self, ms: int) -> int:
        """Move the clock."""
        self.now += ms
        self.client.set(self.keys.key("clock"), self.now)
        return self.now

    # -- jobs ------------------------------------------------------------------------------------------------

    def submit(self, job_id: str = "j", *, op: str = "", **options: Any) -> Verdict:
        """A job by the front door."""
        return self.store.create(plan(job_id, **options), "client", op=op)

    def claim(self, job_id: str = "j", run: int | None = 1, token: str = "", *, worker: str = WORKER) -> Claim:
        """Start a run; its token is `tok` and the run unless given."""
        token = token or f"tok{run}"
        return self.store.claim(job_id, run, token, worker, 7, redelivered=False, plan=plan(job_id))

    def put(self, state: State, job_id: str = "j", run: int = 2) -> None:
        """Write a record that stands in a state, as if a legal path had led there."""
        fields: dict[str, Any] = {
            "state": state.value, "run": run, "seq": 4, "path": f"4\t{run}\t{state}\t{NOW - 9}\tput\ttester\t\n",
            "since": NOW - 9, "submitted": NOW - 99, "task": "shop.pack", "message": MESSAGE,
        }  # fmt: skip
        with self.client.pipeline(transaction=False) as pipe:
            if state in ACTIVE:
                fields |= {"token": f"tok{run}", "worker": WORKER, "pid": 7, "started": NOW - 9}
                pipe.sadd(self.keys.key("held", WORKER), job_id)
            if state is State.WAITING_FOR_START:
                fields["start"] = NOW + 60_000
                pipe.zadd(self.keys.key("due"), {job_id: NOW + 60_000})
            if state is State.WAITING_FOR_PREDECESSOR:
                fields["after"] = "gone"
                pipe.sadd(self.keys.key("after", "gone"), job_id)
            if state in ENDED:
                fields |= {"ended": NOW - 9, "expires": NOW + 60_000, "outcome": "STOPPED"}
                self.listed(pipe, job_id)
            pipe.hset(self.keys.job(job_id), mapping=fields)
            if state in ENDED:
                pipe.pexpire(self.keys.job(job_id), 120_000)
            pipe.zadd(self.keys.state(state), {job_id: NOW - 9})
            pipe.execute()

    def listed(self, pipe: Any, job_id: str) -> None:
        """Put an ended job of nobody's among those that may go."""
        pipe.zadd(self.keys.key("ended"), {job_id: NOW + 60_000})
        pipe.zadd(self.keys.key("heads"), {"": NOW + 60_000})
        pipe.zincrby(self.keys.key("owners"), 1, "")
        pipe.hincrby(self.keys.key("retention"), "jobs", 1)

    def walk(self, verb: str, job_id: str = "j", op: str = "walked") -> tuple[str, ...]:
        """Apply one row of the table by the generic verb."""
        reply = self.client.eval(_WALK, 1, self.keys.base, job_id, op, steps(verb))
        return tuple(part.decode() if isinstance(part, bytes) else str(part) for part in reply)

    # -- looking ---------------------------------------------------------------------------------------------

    def record(self, job_id: str = "j") -> dict[str, str]:
        """The record's fields as text."""
        return texts(self.client.hgetall(self.keys.job(job_id)))

    def path(self, job_id: str = "j") -> list[list[str]]:
        """The lines of the path: seq, run, target, at, operation, by, reason."""
        return [line.split("\t") for line in self.record(job_id).get("path", "").split("\n") if line]

    def states(self, job_id: str = "j") -> list[str]:
        """The states of the path."""
        return [line[2] for line in self.path(job_id)]

    def indexed(self, job_id: str = "j") -> dict[State, float]:
        """The state indexes a job is in, with its score."""
        with self.client.pipeline(transaction=False) as pipe:
            for state in State:
                pipe.zscore(self.keys.state(state), job_id)
            return {state: score for state, score in zip(State, pipe.execute(), strict=True) if score is not None}

    def holds(self, kind: str, name: str = "") -> set[str]:
        """The members of an index."""
        key = self.keys.key(kind, name)
        found = self.client.smembers(key) if kind in ("after", "held", "locks") else self.client.zrange(key, 0, -1)
        return {member.decode() for member in found}

    def picture(self) -> Picture:
        """Every key with its bytes and whether it expires: two equal pictures mean that nothing has changed."""
        keys = sorted(self.client.scan_iter(count=1000))
        with self.client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.dump(key).pttl(key)
            found = iter(pipe.execute())
        return {key: (next(found), next(found) > 0) for key in keys}

    def indexes(self) -> Picture:
        """The picture without the records."""
        return {key: value for key, value in self.picture().items() if not key.startswith(self.keys.job("").encode())}

    def story(self) -> dict[str, Any]:
        """All that is stored, by key without the namespace; operation ids, which no two calls share, are left out."""
        found: dict[str, Any] = {}
        for key in self.client.scan_iter(self.keys.base + "*"):
            name, kind = key.decode().removeprefix(self.keys.base), self.client.type(key)
            if kind == b"hash":
                found[name] = texts(self.client.hgetall(key))
                found[name]["path"] = [[*line[:4], *line[5:]] for line in self.path(name.removeprefix("job:"))]
                if found[name].get("token", "").startswith("="):
                    found[name]["token"] = "="  # of a run that is nobody's: an operation id
                found[name].pop("rebased", None)
                found[name]["next"] = {**json.loads(found[name].get("next", "{}")), "op": ""}
            elif kind == b"zset":
                found[name] = self.client.zrange(key, 0, -1, withscores=True)
            elif kind == b"stream":
                found[name] = self.client.xrange(key)
            elif kind == b"list":
                found[name] = self.client.lrange(key, 0, -1)
            else:
                found[name] = self.client.smembers(key) if kind == b"set" else self.client.get(key)
        return found

    def check(self) -> None:
        """What must hold at every moment: records, paths and indexes tell the same story."""
        Check(self).run()


def keep_bytes_still(client: Redis) -> None:
    """Have all hashes packed: they keep the order of their fields, so that what has not changed has the same bytes."""
    client.config_set("hash-max-ziplist-value", 1 << 20)


def plan(job_id: str = "j", **options: Any) -> Plan:
    """A plan of the shop's one task."""
    return Plan(job_id, "shop.pack", options.pop("message", MESSAGE), **options)


def holder(run: int | None = 1, token: str = "", worker: str = WORKER) -> Settled:
    """Who holds a run claimed by `World.claim`."""
    return Settled(run, token or f"tok{run}", worker)


def when(ms: int) -> Any:
    """So many ms after a test began, as clients see it."""
    return records.when(str(NOW + ms))


def reader(world: World) -> Client:
    """The client of an application, whose results are JSON."""

    def decode(meta: bytes) -> tuple[Any, str]:
        found = json.loads(meta)
        return found.get("result"), found.get("status", "")

    return Client(world.store, decode, "client")

"""What must hold at every moment: records, paths and indexes tell the same story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobkit.locks import Lock, from_text
from jobkit.states import VERBS, Category, State, states
from jobkit.store.keys import KINDS

if TYPE_CHECKING:
    from jobkit.store import JobStore
    from tests.store.world import World

EDGES = {(source, verb.target) for verb in VERBS.values() for source in verb.sources}
BIRTHS = {verb.target for verb in VERBS.values() if not verb.sources}
ENDED, RESTARTED = set(states(Category.ENDED)), set(states(Category.RESTARTED))
ACTIVE = set(states(Category.RUNNING))
BUSY = ACTIVE | {State.CHILD_RUNNING, State.ROLLING_BACK}
READY = set(states(Category.WAITING_TO_RUN))
#: The sorted sets that must agree with the records at every moment; others are cleared by whoever reads them.
SORTED = {
    "blocked", "children", "due", "ended", "heads", "outbox", "owner", "owners",
    "pinned", "read", "state", "tag", "unsettled", "waiters",
}  # fmt: skip


def texts(fields: dict[bytes, bytes]) -> dict[str, str]:
    """A hash as text."""
    return {name.decode(): value.decode() for name, value in fields.items()}


#: What the tests put beside the records: a broker's queue, and what kombu keeps of it.
BROKER = {"q", "unacked", "index"}


class Check:
    """One look at the whole keyspace."""

    def __init__(self, world: World | JobStore) -> None:
        self.world, self.keys, self.client = world, world.keys, world.client
        self.indexes: dict[tuple[str, str], dict[str, float]] = {}
        self.jobs: dict[str, dict[str, str]] = {}
        self.ttl: dict[str, int] = {}
        self.locks: dict[str, dict[str, str]] = {}
        self.waiters: dict[str, list[str]] = {}
        self.kin: dict[str, list[str]] = {}

    def run(self) -> None:
        keys = [key.decode() for key in self.client.scan_iter(count=1000) if key.decode() not in BROKER]
        with self.client.pipeline(transaction=False) as pipe:
            for key in keys:
                assert key.startswith(self.keys.base), f"{key!r} lies outside the namespace"
                self.read(pipe, self.kind(key.removeprefix(self.keys.base))[0], key)
            found = pipe.execute()
        for key, content, ttl in zip(keys, found[::2], found[1::2], strict=True):
            self.sort(*self.kind(key.removeprefix(self.keys.base)), content, ttl)
        self.retention()
        for (kind, name), members in self.indexes.items():
            if kind in ("owners", "heads"):
                continue
            orphans = members.keys() - self.jobs.keys()
            assert not orphans, f"{orphans} in {kind} {name!r} have no record"
        for job_id, fields in self.jobs.items():
            self.job(job_id, fields)
        self.turns()
        self.families()

    def families(self) -> None:
        """Parents know how many of their children live and run; whose end is kept is looked at by somebody."""
        for job_id, fields in self.jobs.items():
            mine = [child for child in self.jobs.values() if child.get("up") == job_id]
            alive = sum(State(child["state"]).is_live for child in mine)
            busy = sum(State(child["state"]) in BUSY for child in mine)
            said = (int(fields.get("alive", 0)), int(fields.get("busy", 0)))
            assert said == (alive, busy), f"{job_id} counts {said} of {mine}"
            if fields["state"] in (State.CHILD_QUEUED, State.CHILD_RUNNING):
                assert (fields["state"] == State.CHILD_RUNNING) == (busy > 0), f"{job_id}: {busy} run"
            listed = {
                one
                for (kind, name), ids in self.indexes.items()
                if kind == "children" and name == job_id
                for one in ids
            }
            assert {one for one, child in self.jobs.items() if child.get("up") == job_id} <= listed
            looked_at = job_id in self.indexes.get(("unsettled", ""), {})
            assert looked_at or "ending" not in fields, f"nobody will end {job_id}"

    def turns(self) -> None:
        """Holders and waiters are live jobs that want the lock, no lock has too many, nobody waits for a free one."""
        wanted = {
            job_id: {lock.name: lock for lock in from_text(fields["locks"])} if fields.get("locks") else {}
            for job_id, fields in self.jobs.items()
        }
        for name, fences in self.locks.items():
            holders = fences.keys() - {""}
            kinds = {wanted[one][name].kind for one in holders}
            assert kinds == {fences[""]}, f"{name} is held as {fences}"
            assert kinds == {"s"} or len(holders) <= max(wanted[one][name].holders for one in holders)
        for job_id, fields in self.jobs.items():
            held = {name for name, fences in self.locks.items() if job_id in fences}
            waits = {name for name, line in self.waiters.items() if job_id in line}
            lasting = {name for name, lock in wanted[job_id].items() if not lock.period}
            assert held == (lasting if "locked" in fields else set()), f"{job_id} holds {held}: {fields}"
            waiting = fields["state"] == State.WAITING_FOR_LOCK
            assert waits == (wanted[job_id].keys() - held if waiting else set()), (
                f"{job_id} waits for {waits}: {fields}"
            )
            assert State(fields["state"]).is_live or not held
            assert held or not lasting or fields["state"] not in ACTIVE | {State.QUEUED}
        for name, line in self.waiters.items():
            first = wanted[line[0]]
            assert any(self.is_taken(one) for one in first.values()), f"{line[0]} could have {name}"

    def is_taken(self, lock: Lock) -> bool:
        """Is a lock not to be had now?  Of a rate only a keeper can say."""
        fences = self.locks.get(lock.name, {})
        taken = bool(fences) and (fences[""] != lock.kind or (lock.kind == "x" and len(fences) > lock.holders))
        return bool(lock.period) or taken or bool(self.waiters.get(lock.name))

    @staticmethod
    def read(pipe: Any, kind: str, key: str) -> None:
        if kind == "job":
            pipe.hgetall(key)
        elif kind in ("after", "held"):
            pipe.smembers(key)
        elif kind == "kin":
            pipe.lrange(key, 0, -1)
        elif kind in SORTED:
            pipe.zrange(key, 0, -1, withscores=True)
        elif kind == "lock":
            pipe.hgetall(key)
        else:
            pipe.type(key)
        pipe.pttl(key)

    def sort(self, kind: str, name: str, content: Any, ttl: int) -> None:
        if kind == "job":
            self.jobs[name], self.ttl[name] = texts(content), ttl
        elif kind in ("after", "held"):
            self.indexes[kind, name] = dict.fromkeys((job_id.decode() for job_id in content), 0.0)
        elif kind == "kin":
            self.kin[name] = [job_id.decode() for job_id in content]
        elif kind == "waiters":
            self.waiters[name] = [one.decode()[1:] for one, _ in content]
        elif kind in SORTED:
            self.indexes[kind, name] = {job_id.decode(): score for job_id, score in content}
        elif kind == "lock":
            self.locks[name] = texts(content)

    @staticmethod
    def kind(rest: str) -> tuple[str, str]:
        for kind, prefix in KINDS.items():
            if rest == prefix or (prefix.endswith(":") and rest.startswith(prefix)):
                return kind, rest.removeprefix(prefix)
        raise AssertionError(f"{rest!r} is no kind of key")

    def retention(self) -> None:
        """Every ended job has its one place, and all are counted."""
        lists = {name: ids for (kind, name), ids in self.indexes.items() if kind == "ended"}
        counts = {owner: len(ids) for owner, ids in lists.items()}
        assert self.indexes.get(("owners", ""), {}) == counts
        assert int(self.client.hget(self.keys.key("retention"), "jobs") or 0) == sum(counts.values())
        for owner, ids in lists.items():
            assert self.indexes["heads", ""][owner] <= min(ids.values())
        kin = [
            fields.get("retain", "").split("|")[-1] for fields in self.jobs.values() if State(fields["state"]).is_live
        ]
        for family in {*kin, *self.kin} - {""}:
            found: Any = self.client.hget(self.keys.key("family", family), "live")
            assert int(found) == kin.count(family), family
        for job_id, expires in self.indexes.get(("read", ""), {}).items():
            assert int(self.jobs[job_id]["expires"]) == expires

    def score(self, kind: str, name: str, job_id: str) -> float | None:
        return self.indexes.get((kind, name), {}).get(job_id)

    def job(self, job_id: str, fields: dict[str, str]) -> None:
        state, since = State(fields["state"]), int(fields["since"])
        places = {name for (kind, name), ids in self.indexes.items() if kind == "state" and job_id in ids}
        assert places == {state.value}, f"{job_id} is {state}, but stands in the indexes of {places}"
        assert self.score("state", state.value, job_id) == since
        self.path(job_id, fields)
        self.waiting(job_id, state, fields)
        self.ending(job_id, state, fields)
        owners = {name for (kind, name), ids in self.indexes.items() if kind == "owner" and job_id in ids}
        assert owners == ({fields["owner"]} if fields.get("owner") else set())
        tags = {name for (kind, name), ids in self.indexes.items() if kind == "tag" and job_id in ids}
        assert tags == {tag for tag in fields.get("tags", "").split("\n") if tag}

    def waiting(self, job_id: str, state: State, fields: dict[str, str]) -> None:
        due = self.score("due", "", job_id)
        assert (due is not None) == (state is State.WAITING_FOR_START), f"{job_id} is {state}, due at {due}"
        assert due is None or due == int(fields["start"])
        held = {name for (kind, name), ids in self.indexes.items() if kind == "blocked" and job_id in ids}
        assert held == ({fields["blocked"]} if "blocked" in fields else set())
        assert bool(held) == (state is State.HOST_BLOCKED) == ("B" in fields.get("bonds", "")), f"{job_id}: {fields}"
        behind = {name for (kind, name), ids in self.indexes.items() if kind == "after" and job_id in ids}
        assert behind <= {fields.get("after")}, f"{job_id} waits for {behind}, its record says {fields.get('after')}"
        assert behind or "hook" in fields or state is not State.WAITING_FOR_PREDECESSOR
        if state in READY and self.score("outbox", "", job_id) is not None:
            assert fields.get("message")

    def ending(self, job_id: str, state: State, fields: dict[str, str]) -> None:
        places = {name: ids[job_id] for (kind, name), ids in self.indexes.items() if kind == "ended" and job_id in ids}
        assert places.keys() <= {fields.get("owner", "")}
        ended, ttl = next(iter(places.values()), None), self.ttl[job_id]
        assert state not in RESTARTED, f"{job_id} was left in {state}"
        held = self.score("pinned", "", job_id) is not None or "keep" in fields
        assert "keep" not in fields or job_id in self.kin[fields["retain"].split("|")[-1]]
        free = not state.is_live and not held
        assert (ended is not None) == (ttl > 0) == free, f"{job_id} is {state}: {ended}, TTL {ttl}"
        known = {"ended", "expires", "keep", "outcome"} & fields.keys()
        assert len(known) == (0 if state.is_live else 3), f"{job_id} is {state}: {fields}"
        assert state not in ACTIVE or not {"note", "failure"} & fields.keys(), f"{job_id} is {state}: {fields}"
        was_read = self.score("read", "", job_id) is not None
        assert ended is None or ended == int(fields["expires"]) or (was_read and ended > int(fields["expires"]))
        holders = {name for (kind, name), ids in self.indexes.items() if kind == "held" and job_id in ids}
        # A run whose end waits for others is nobody's.
        kept = "ending" in fields
        assert ("token" in fields) == (state in ACTIVE or kept), f"{job_id} is {state}: {fields}"
        assert kept or state.category not in (Category.WAITING_FOR_CHILDREN, Category.ROLLING_BACK)
        mine = state in ACTIVE and not kept
        hook = fields.get("hook", "")
        extra = holders - ({fields["worker"]} if mine else set())
        assert not mine or fields["worker"] in holders
        if state in READY and not hook:
            extra -= {name for name in extra if "|" in name}  # its message is reserved by a worker
        # Who ended a run holds it until its job was told so.
        assert len(extra) <= 1 if hook.isdigit() else extra <= set(hook.split(" ")[2:]), (extra, hook)
        assert "next" not in fields or state.is_live

    def path(self, job_id: str, fields: dict[str, str]) -> None:
        lines = [line.split("\t") for line in fields["path"].split("\n") if line]
        last: list[str] | None = None
        for line in lines:
            if last is None:
                assert int(line[0]) > 1 or (line[1] == "1" and State(line[2]) in BIRTHS)
            else:
                self.step(job_id, last, line)
            last = line
        assert last is not None
        assert last[:3] == [fields[name] for name in ("seq", "run", "state")]
        assert int(last[3]) <= int(fields["since"])  # later where it was sent to the back of its queue

    @staticmethod
    def step(job_id: str, last: list[str], line: list[str]) -> None:
        source, target = State(last[2]), State(line[2])
        assert int(line[0]) == int(last[0]) + 1, f"{job_id}: a gap between {last} and {line}"
        assert int(line[3]) >= int(last[3]), f"{job_id}: time runs backwards from {last} to {line}"
        assert all(line[4:6]), f"{job_id}: no operation or nobody's name in {line}"
        if line[1] == last[1]:
            assert (source, target) in EDGES, f"{job_id}: no edge from {source} to {target}"
        else:
            assert int(line[1]) == int(last[1]) + 1
            assert not source.is_live, f"{job_id}: a new run while the old one is {source}"
            assert target in BIRTHS

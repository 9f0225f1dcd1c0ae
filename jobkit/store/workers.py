"""The verbs on workers: leases, and the runs of workers that vanished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from jobkit.states import State
from jobkit.stopping import STOPS
from jobkit.store.connection import patiently
from jobkit.store.graph import ACTIVE, READY
from jobkit.store.jobs import JobStore
from jobkit.store.values import Put, operation


class Lost(NamedTuple):
    """A run whose worker vanished; whoever was handed it holds it now, and has to settle it.

    One that has ended was being told so, as `hook` says.
    """

    id: str
    run: int
    state: str
    worker: str
    policy: str
    restarts: str
    message: str
    task: str
    hook: str = ""


class Beat(NamedTuple):
    """What a worker is told that proves itself alive.

    Redis time in seconds, whether the lease had held until now, and the epoch of the namespace: another one where
    Redis has lost everything, "" where nobody has begun one yet.
    """

    at: float
    held: bool
    epoch: str


def beat(store: JobStore, worker: str, lease: float) -> Beat:
    """Prove a worker alive for `lease` seconds; 0 says goodbye."""
    at, held, epoch = store.run("beat", worker, int(lease * 1000))
    return Beat(int(at) / 1000, bool(held), epoch.decode())


def rescue(store: JobStore, worker: str, most: int, until: float = 1e10) -> list[Lost]:
    """Take over runs of workers whose lease has run out: from now on only `worker` can write for them.

    What they had reserved and not begun is published again.
    None where this comes to Redis after `until`, seconds of its time: whoever was late may only have been held up too.
    """
    reply = store.run("rescue", worker, most, ACTIVE, int(until * 1000), READY)
    parts = iter(part.decode() if isinstance(part, bytes) else part for part in reply)
    rows = zip(*[parts] * len(Lost._fields), strict=True)
    return [Lost(job_id, int(run), *rest) for job_id, run, *rest in rows]


def rebase(store: JobStore, lease: float, worker: str = "", jump: float = 0.0) -> int:
    """The clock of Redis jumped by so many seconds: let every lease count from now; returns how many there are.

    The deadlines of what this worker runs go with the clock; others see to theirs.
    """
    return int(store.run("rebase", int(lease * 1000), operation(), worker, int(jump * 1000)))


def alive(store: JobStore) -> dict[str, float]:
    """The workers and when their leases run out, seconds of Redis time."""
    found: Any = store.call(lambda: store.client.zrange(store.keys.key("workers"), 0, -1, withscores=True))
    return {name.decode(): score / 1000 for name, score in found}


def orders(store: JobStore, worker: str, wait: float) -> tuple[str, int, float] | None:
    """The next order for a worker: a job that was told to end, its run, and seconds of grace; None if there is none.

    Waits up to `wait` seconds inside Redis, so that an order arrives within milliseconds.  It is not tried again: an
    answer that was lost may have been an order, see `told`.
    """
    key = store.keys.key("orders", worker)
    found: Any = patiently(lambda: store.client.blpop([key], timeout=wait), store.url, 0.0)
    if found is None:
        return None
    job_id, run, grace = found[1].decode().rsplit("\t", 2)
    return job_id, int(run), int(grace) / 1000


def told(store: JobStore, worker: str) -> list[tuple[str, int, float]]:
    """What a worker runs that was told to end, as orders say it; the grace period is what the job was given."""
    ids = held(store, worker)

    def read() -> list[Any]:
        with store.client.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hmget(store.keys.job(job_id), ("state", "run", "grace"))
            return pipe.execute()

    rows = zip(ids, store.call(read), strict=True)
    return [(one, int(run), int(grace or 60_000) / 1000) for one, (state, run, grace) in rows if _stops(state)]


def _stops(state: bytes | None) -> bool:
    return state is not None and State(state.decode()) in STOPS


def overdue(store: JobStore, most: int, lease: float, until: float = 1e10) -> list[str]:
    """Jobs that have run longer than they may; handed to one caller at a time.

    None where this comes to Redis after `until`, seconds of its time: its clock may have jumped.
    """
    return [job_id.decode() for job_id in store.run("overdue", most, int(lease * 1000), int(until * 1000))]


def in_time(store: JobStore, job_id: str) -> None:
    """A job that was handed out by `overdue` is not running any more."""
    store.call(lambda: store.client.zrem(store.keys.key("deadlines"), job_id))


def held(store: JobStore, worker: str) -> list[str]:
    """The jobs a worker holds."""
    found: Any = store.call(lambda: store.client.smembers(store.keys.key("held", worker)))
    return sorted(job_id.decode() for job_id in found)


def own(store: JobStore, worker: str, job_id: str) -> Lost | None:
    """A run this worker holds: one it claimed, or one whose job it is telling of its end; None if it is another's."""
    names = ("run", "state", "policy", "restarts", "message", "task", "hook", "worker", "token")
    found: Any = store.call(lambda: store.client.hmget(store.keys.job(job_id), names))
    run, state, *rest, hook, holder, token = (part.decode() if part else "" for part in found)
    claimed = holder == worker and not token.startswith("!") and state in ACTIVE.split(",")
    telling = (hook.isdigit() and state not in READY.split(",")) or hook.endswith(f" {worker}")
    policy, restarts, message, task = rest
    return Lost(job_id, int(run), state, worker, policy, restarts, message, task, hook) if claimed or telling else None


def disown(store: JobStore, worker: str, job_id: str) -> None:
    """Forget a run this worker does not hold any more; one it holds stays.

    One whose message it had, and lost, is published again.
    """
    store.run("disown", job_id, worker, ACTIVE, READY)


def hand_back(store: JobStore, worker: str, job_id: str, puts: Sequence[tuple[str, Put]]) -> bool:
    """Put the message of a job that a worker has reserved and not begun back: each to the "L" or "R" end of its queue.

    Returns: False of a job it runs, or does not hold any more: its message is published again anyway.
    """
    db = puts[0][1].db if puts else ""
    flat = (part for side, put in puts for part in (side, put.queue, put.message))
    return bool(store.run("hand_back", job_id, worker, ACTIVE, db, *flat)[0] == b"ok")

"""``python -m benchmarks.retention``: what retention promises, at full size; the suite does the same smaller.

Each function does one thing and returns the figures; the promises are checked by whoever calls it.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any
from uuid import uuid4

from redis import Redis

from benchmarks.counters import used_memory
from jobkit.client import Client
from jobkit.embedded import EmbeddedRedis
from jobkit.errors import JobExpired, JobUnknown
from jobkit.ext.ids import uuid7
from jobkit.locks import Lock
from jobkit.services import retention
from jobkit.states import Outcome, State
from jobkit.store import End, JobStore, Limits, Plan, Settled
from jobkit.store.footprint import footprint, per_ended_job
from jobkit.store.scripts import assembled

WORKER = "worker@host|abcdefgh"
#: What Celery stores of a task that returned a small number.
META = (
    '{{"status": "SUCCESS", "result": 3, "traceback": null, "children": [], '
    '"date_done": "2026-11-22T11:00:00.000000+00:00", "task_id": "{}"}}'
)
MESSAGE = '{"name": "shop.pack", "body": "' + "x" * 900 + '"}'

Figures = dict[str, float]


class Jobs:
    """A namespace on this Redis, and quick ways to have jobs in it."""

    def __init__(self, client: Redis, **limits: Any) -> None:
        self.client: Any = client
        self.store = JobStore(client, limits=Limits(**limits))

    def start(self, owner: str = "", job_id: str = "", **options: Any) -> str:
        """A job that runs."""
        job_id = job_id or uuid7()
        plan = Plan(job_id, "shop.pack", MESSAGE, owner=owner, facts={"queue": "celery", "args": "(1, 2)"}, **options)
        self.store.create(plan, "client@host")
        self.store.claim(job_id, 1, f"tok{job_id[-9:]}", WORKER, 4711, redelivered=False, plan=plan)
        return job_id

    def finish(self, job_id: str, keep: int = 300_000, meta: str = META) -> str:
        """Its end."""
        end = End(("finish",), Outcome.SUCCEEDED, meta=meta.format(job_id), keep=keep)
        self.store.finish(job_id, Settled(1, f"tok{job_id[-9:]}", WORKER), end)
        return job_id

    def there(self, job_ids: Sequence[str]) -> int:
        """How many of these have a record."""
        return sum(self._each(job_ids))

    def _each(self, job_ids: Sequence[str]) -> Iterator[int]:
        for start in range(0, len(job_ids), 1000):
            yield int(self.client.exists(*(self.store.keys.job(job_id) for job_id in job_ids[start : start + 1000])))

    @property
    def held(self) -> int:
        """How many ended jobs may go."""
        return int(self.client.hget(self.store.keys.key("retention"), "jobs") or 0)


def idle(jobs: int) -> Figures:
    """So many jobs through, each kept for two seconds, then nothing: keys and bytes, after to before."""
    with _redis() as client:
        these = Jobs(client, least=0, gone_ms=2_000)

        def through(count: int) -> None:
            for n in range(count):
                these.finish(these.start(f"owner-{n % 7}"), keep=2_000)
                if n % 200 == 0:
                    retention.run_once(these.store)
            deadline = time.monotonic() + 20
            while client.exists(*_gone(these)) or these.held:
                retention.run_once(these.store)
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)

        through(min(1_000, jobs // 10))  # what is made once: scripts, buffers, the tables of Redis
        client.slowlog_reset()  # Redis's own notes, of a machine that was busy
        keys, used = client.dbsize(), used_memory(client)
        through(jobs)
        client.slowlog_reset()
        return {
            "keys before": keys,
            "keys after": client.dbsize(),
            "memory before": used,
            "memory after": used_memory(client),
        }


#: Somebody who keeps jobs, in a process of his own, that is killed: three seconds at a time, as long as he lives.
_PINNER = """
import sys, time
from redis import Redis
from jobkit.store import JobStore
store = JobStore(Redis.from_url(sys.argv[1]))
while True:
    assert store.pin("pinner", 15.0, sys.argv[2:]) == {}
    print("pinned", flush=True)
    time.sleep(1)
"""


def mixed(jobs: int, pinned: int = 50) -> Figures:
    """So many jobs through, some read, some pinned by a process that is killed: who stays, what is said of who goes,
    and what is left of it all when nothing happens any more."""
    with EmbeddedRedis() as server, Redis.from_url(server.url) as client:
        these = Jobs(client, least=0, gone_ms=2_000)
        # What is made once: scripts, buffers, the tables of Redis.
        for job_id in _through(these, min(1_000, jobs // 5))[-1:]:
            these.store.pin("me", 1.0, [job_id])
            these.store.unpin("me", [job_id])
        _settle(these)
        keys, used = client.dbsize(), used_memory(client)
        kept = [these.finish(these.start("keeper"), keep=2_000) for _ in range(pinned)]
        with subprocess.Popen([sys.executable, "-c", _PINNER, server.url, *kept], stdout=subprocess.PIPE) as pinner:
            assert pinner.stdout
            assert pinner.stdout.readline()
            ids = _through(these, jobs)
            stay = these.there(kept)
            pinner.kill()
        began = time.monotonic()
        while these.there(kept) and time.monotonic() - began < 60:
            retention.run_once(these.store)
            time.sleep(0.05)
        let_go = time.monotonic() - began
        _settle(these)
        asked = random.Random(2).sample(ids, min(len(ids), 10_000))
        return {
            "pinned still there": stay / pinned,
            "s until what a dead one pinned goes": let_go,
            "expired, and said so": sum(_said(these, job_id) is JobExpired for job_id in asked) / len(asked),
            "unknown, and said so": sum(_said(these, str(uuid4())) is JobUnknown for _ in asked) / len(asked),
            "keys before": keys,
            "keys after": client.dbsize(),
            "memory before": used,
            "memory after": used_memory(client),
        }


def _through(jobs: Jobs, count: int) -> list[str]:
    """So many end, and are kept for two seconds; some are read."""
    chance, ids = random.Random(1), list[str]()
    for n in range(count):
        ids.append(jobs.finish(jobs.start(f"owner-{n % 7}"), keep=2_000))
        if n % 10 == 0 and _said(jobs, chance.choice(ids[-100:])) is JobUnknown:
            raise AssertionError("a job that was there is said never to have been")
        if n % 200 == 0:
            retention.run_once(jobs.store)
    return ids


def _settle(jobs: Jobs) -> None:
    """Until nothing is left of the ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (jobs.client.exists(*_gone(jobs)) or jobs.held):
        retention.run_once(jobs.store)
        time.sleep(0.1)
    jobs.client.slowlog_reset()


def _said(jobs: Jobs, job_id: str) -> type[Exception] | None:
    try:
        jobs.store.read(job_id, "state")
    except (JobExpired, JobUnknown) as exc:
        return type(exc)
    return None


def _gone(jobs: Jobs) -> list[str]:
    book = int(jobs.client.hget(jobs.store.keys.key("retention"), "book") or 1)
    return [jobs.store.keys.key("gone", str(number)) for number in range(max(1, book - 1), book + 1)]


def cap(jobs: int, readers: int = 100) -> Figures:
    """Ten times as many ended jobs as there is room for, while somebody reads some of them again and again."""
    room = jobs // 10
    with _redis() as client:
        these = Jobs(client, jobs=room, least=0)
        read = Client(these.store, lambda meta: (None, ""), "reader").get
        live = [these.start("alice") for _ in range(50)]
        small = [these.finish(these.start("bob")) for _ in range(10)]
        touched = [these.finish(these.start("alice")) for _ in range(readers)]
        ended, most = [], 0
        for n in range(jobs):
            ended.append(these.finish(these.start("alice")))
            read(touched[n % readers])
            most = max(most, these.held)
        newest = room - readers - len(small)
        return {
            "room": room,
            "held at most": most,
            "touched still there": these.there(touched) / readers,
            "newest still there": these.there(ended[-newest:]) / newest,
            "older still there": these.there(ended[:-newest]),
            "live still there": these.there(live) / len(live),
            "of the other owner still there": these.there(small) / len(small),
        }


def full(live: int, ended: int, megabytes: int, *, keeper: bool = True) -> Figures:
    """More than Redis has memory for, under volatile-lru: live jobs and locks stay, and submits go on."""
    with _redis("--maxmemory", f"{megabytes}mb", "--maxmemory-policy", "volatile-lru") as client:
        these = Jobs(client, jobs=None)
        running = [these.start("alice", locks=(Lock(f"lock-{n}"),) if n % 10 == 0 else ()) for n in range(live)]
        duty, refused = retention.Retention(these.store), 0
        for n in range(ended):
            try:
                these.finish(these.start(f"owner-{n % 5}"))
            except Exception as exc:
                print(f"refused: {exc}", file=sys.stderr)
                refused += 1
            if keeper and n % 100 == 0:
                duty.run_once()
        stats = client.info("stats")
        locks = sum(client.hexists(these.store.keys.key("lock", f"lock-{n}"), running[n]) for n in range(0, live, 10))
        return {
            "live still there": these.there(running) / live,
            "locks still held": locks / len(range(0, live, 10)),
            "submits refused": refused,
            "taken by Redis": stats["evicted_keys"],
            "memory of maxmemory": used_memory(client) / (megabytes * 2**20),
        }


def cost(held: int, sample: int = 3_000, room: int | None = None) -> Figures:
    """Redis µs, and commands, of one end (INFO commandstats), with so many ended jobs held."""
    with _redis() as client:
        these = Jobs(client, jobs=room, least=0)
        _hold(these, held)
        _ends(these, sample // 10)
        _, found = _ends(these, sample - sample // 10)
        return {**found, "held": these.held}


def turns(held: Sequence[int] = (0, 4_096, 1_000_000), rounds: int = 30, sample: int = 300) -> Figures:
    """Redis µs of one end with so many ended jobs held, each in a Redis of its own, turn by turn: medians."""
    with ExitStack() as closing:
        sides = [Jobs(closing.enter_context(_redis()), jobs=None, least=0) for _ in held]
        for these, count in zip(sides, held, strict=True):
            _hold(these, count)
        spent: list[list[float]] = [[] for _ in held]
        for number in range(rounds + 1):
            for n in (*range(number % len(held), len(held)), *range(number % len(held))):
                ids, found = _ends(sides[n], sample)
                for job_id in ids:
                    sides[n].store.forget(job_id)  # as many are held in every round
                if number:  # the first warms up
                    spent[n].append(found["µs an end"])
        each = {f"µs an end with {count:,} held": median(one) for count, one in zip(held, spent, strict=True)}
        most, least = max(each.values()), min(each.values())
        return {**each, "most to least": most / least}


def _ends(jobs: Jobs, count: int) -> tuple[list[str], Figures]:
    """So many jobs that run are ended: their ids, and what Redis spent on their ends."""
    running = [jobs.start() for _ in range(count)]
    jobs.client.config_resetstat()
    for job_id in running:
        jobs.finish(job_id)
    spent: Any = jobs.client.info("commandstats")
    ends = spent["cmdstat_evalsha"]
    own = ("cmdstat_evalsha", "cmdstat_config|resetstat")
    commands = sum(one["calls"] for name, one in spent.items() if name not in own) / ends["calls"]
    return running, {"µs an end": ends["usec_per_call"], "commands in an end": commands}


#: Ended jobs by the thousand, each with its places; their records are small, as only their number matters.
_FILL = """
-- include: _retain
local at, limits = clock(), limits_of("300000;;0;;1;1")
for n = ARGV[1], ARGV[2] do
  local id = string.format("01990000-0000-7000-8000-%012d", n)
  local job = {id = id, key = key("job", id)}
  redis.call("HSET", job.key, "state", ARGV[3], "run", 1, "seq", 1, "path", "", "ended", at, "expires", at + 300000)
  redis.call("ZADD", key("state", ARGV[3]), at, id)
  enlist(job, at + 300000, at, limits)
end
"""


def _hold(jobs: Jobs, count: int) -> None:
    for start in range(0, count, 1000):
        last = min(start + 1000, count) - 1
        jobs.client.eval(assembled(_FILL, flags=False), 1, jobs.store.keys.base, start, last, State.FINISHED.value)


def size(jobs: int, packed: int = 64) -> Figures:
    """Bytes of an ended job of five transitions with small arguments, beside Celery's own key for a result.

    Parameters: `packed`, bytes a field may have for Redis to keep a hash packed (64 unless it was told otherwise).
    """
    with _redis("--hash-max-ziplist-value", str(packed)) as client:
        these = Jobs(client, jobs=None)
        _five_transitions(these)  # Redis keeps the scripts themselves, once
        before = used_memory(client)
        for _ in range(jobs):
            _five_transitions(these)
        each = (used_memory(client) - before) / jobs
        found = per_ended_job(footprint(these.store)) or 0.0
        client.flushdb()
        before = used_memory(client)
        for _ in range(jobs):
            job_id = uuid7()
            client.set(f"celery-task-meta-{job_id}", META.format(job_id), ex=86_400)
        plain = (used_memory(client) - before) / jobs
        return {"bytes an ended job": each, "of it keys and values": found, "Celery's result key": plain}


def _five_transitions(jobs: Jobs) -> None:
    job_id = uuid7()
    facts = {"queue": "celery", "args": "(1, 2)"}
    plan = Plan(job_id, "shop.pack", MESSAGE, start=int(time.time() * 1000) + 3_600_000, facts=facts)
    jobs.store.create(plan, "client@host")
    jobs.store.change_start(job_id, None, "client@host")
    jobs.store.claim(job_id, 1, f"tok{job_id[-9:]}", WORKER, 4711, redelivered=False, plan=plan)
    jobs.store.published([job_id])
    jobs.store.ask(job_id, "request_pause", "client@host")
    jobs.finish(job_id)
    jobs.client.delete(jobs.store.keys.key("orders", WORKER))  # a worker reads them


@contextmanager
def _redis(*options: str) -> Iterator[Any]:
    with EmbeddedRedis(extra=options) as server, Redis.from_url(server.url) as client:
        yield client


#: What is done at full size, and how it is called.
ALL: dict[str, Callable[[], Figures]] = {
    "idle": lambda: idle(100_000),
    "mixed": lambda: mixed(100_000),
    "cap": lambda: cap(40_960),
    "full": lambda: full(4_000, 50_000, 64),
    "full, without a keeper": lambda: full(4_000, 50_000, 64, keeper=False),
    "an end": turns,
    "an end that makes room": lambda: cost(4_096, room=4_096),
    "size": lambda: size(5_000),
    "size, packed": lambda: size(5_000, 4096),
}


def main() -> None:
    """Do it, and print the figures as they come."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retention", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=ALL, default=list(ALL), help="a selection")
    for name in parser.parse_args().only:
        began = time.monotonic()
        figures = ALL[name]()
        print(f"{name} ({time.monotonic() - began:.0f} s)", flush=True)
        for figure, value in figures.items():
            print(f"    {figure:32} {value:>16,.2f}".rstrip("0").rstrip("."), flush=True)


if __name__ == "__main__":
    main()

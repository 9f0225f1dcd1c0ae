"""The measurements: what is done, on which sides, and the figures it gives, by name."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from benchmarks.counters import BEGIN, END, key_bytes, snapshot, used_memory
from benchmarks.retention import size
from benchmarks.stage import stage

SETTLE = 0.3  # the last results and acknowledgements follow the last body within milliseconds
MANY = 10_000  #: jobs of a bulk submission

Figures = dict[str, float]


def drain(side: str, pool: str, jobs: int) -> Figures:
    """Submit `jobs` no-op jobs with no worker there, then let one worker run them all.

    The costs per job are counted between the first twentieth of the jobs and the last one: the worker's start is
    in none of them.  Memory is compared before the first submit, after the last, and after the worker has gone.
    """
    with stage(side) as scene:
        empty, before = used_memory(scene.redis), snapshot(scene.redis, 0)
        client = scene.client("submit", jobs)
        submitting, queued = before.per_job(snapshot(scene.redis, jobs)), used_memory(scene.redis)
        with scene.worker(pool) as worker:
            worker.wait_for(scene.stamps, jobs // 20)
            warm = snapshot(scene.redis, scene.stamps.count(), worker.process.pid)
            worker.wait_for(scene.stamps, jobs)
            time.sleep(SETTLE)
            costs = warm.per_job(snapshot(scene.redis, jobs, worker.process.pid))
        time.sleep(SETTLE)
        return {
            f"{pool} rate": scene.stamps.rate(),
            f"{pool} worker CPU": costs["worker_cpu"],
            f"{pool} Redis CPU": costs["redis_cpu"] + submitting["redis_cpu"],
            f"{pool} commands": costs["commands"],
            "submit rate": 1 / client["wall"],
            "submit CPU": 1e6 * client["cpu"],
            "submit Redis CPU": submitting["redis_cpu"],
            "submit commands": submitting["commands"],
            "queued": (queued - empty) / jobs,
            "memory": (used_memory(scene.redis) - empty) / jobs,
            "keys": key_bytes(scene.redis) / jobs,
        }


def work(side: str, pool: str, jobs: int) -> Figures:
    """The same with jobs that keep a processor busy for 10 ms."""
    with stage(side) as scene:
        scene.client("submit", jobs, "work")
        with scene.worker(pool) as worker:
            worker.wait_for(scene.stamps, jobs)
        return {f"{pool} work": scene.stamps.rate()}


def bulk(side: str) -> Figures:
    """Submit thousands at once: by `submit_many`, or by a loop of ``delay()``."""
    with stage(side) as scene:
        return {"bulk rate": 1 / scene.client("bulk", MANY)["wall"]}


def latency(side: str, jobs: int) -> Figures:
    """One job after the other, from ``delay()`` to the end of ``get()``, with an idle prefork worker."""
    with stage(side) as scene, scene.worker("prefork"):
        seconds = scene.client("latency", jobs)["seconds"]
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"latency p50": 1e3 * cuts[49], "latency p99": 1e3 * cuts[98]}


def commands(side: str, jobs: int, of: Callable[[Iterable[int]], float] = statistics.median) -> Figures:
    """The commands of whole round trips by MONITOR: what clients sent, and what scripts did inside Redis.

    They are the median `of` all jobs: what a worker does by the clock falls to few of them.
    """
    with stage(side) as scene, scene.worker("prefork"), scene.redis.monitor() as monitor:
        scene.client("steps", jobs)
        by_job = _between_marks(monitor.next_command)
    return {
        "commands sent": of(found.count(False) for found in by_job),
        "commands in scripts": of(found.count(True) for found in by_job),
    }


def _between_marks(next_command: Callable[[], dict[str, str]]) -> list[list[bool]]:
    """For each job, for each of its commands: whether a script called it."""
    by_job: list[list[bool]] = []
    while END not in (entry := next_command())["command"]:
        if BEGIN in entry["command"]:
            by_job.append([])
        elif by_job:
            by_job[-1].append(entry["client_type"] == "lua")
    return by_job[:-1]


def ended(side: str, jobs: int) -> Figures:
    """Bytes of an ended job of five transitions, or of Celery's key for a result."""
    found = size(jobs)
    return {"ended": found["bytes an ended job" if side == "jobkit" else "Celery's result key"]}


def few(jobs: int) -> int:
    """Jobs for measurements that wait for each one."""
    return max(100, jobs // 10)


@dataclass(frozen=True)
class Measurement:
    """What is done, given a side and a number of jobs, and the sides it is done on."""

    run: Callable[[str, int], Figures]
    sides: tuple[str, ...] = ("celery", "jobkit")


ALL = ("celery", "bare", "jobkit")
MEASUREMENTS: Mapping[str, Measurement] = {
    "prefork": Measurement(lambda side, jobs: drain(side, "prefork", jobs), ALL),
    "threads": Measurement(lambda side, jobs: drain(side, "threads", jobs), ALL),
    "solo": Measurement(lambda side, jobs: drain(side, "solo", jobs), ALL),
    "prefork-work": Measurement(lambda side, jobs: work(side, "prefork", few(jobs)), ALL),
    "threads-work": Measurement(lambda side, jobs: work(side, "threads", few(jobs)), ALL),
    "solo-work": Measurement(lambda side, jobs: work(side, "solo", few(jobs)), ALL),
    "bulk": Measurement(lambda side, _: bulk(side)),
    "latency": Measurement(lambda side, jobs: latency(side, few(jobs))),
    "commands": Measurement(lambda side, jobs: commands(side, few(jobs))),
    "sizes": Measurement(lambda side, jobs: ended(side, few(jobs))),
}

"""The measurements: what is done, and the figures it gives, by name."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

from benchmarks.counters import BEGIN, END, key_bytes, snapshot, used_memory
from benchmarks.stage import stage

SETTLE = 0.3  # the last results and acknowledgements follow the last body within milliseconds

Figures = dict[str, float]


def drain(side: str, pool: str, jobs: int) -> Figures:
    """Submit `jobs` no-op jobs with no worker there, then let one worker run them all.

    The costs per job are counted between the first twentieth of the jobs and the last one: the worker's start is
    in none of them.  Memory is compared before the first submit and after the worker has gone.
    """
    with stage(side) as scene:
        empty, before = used_memory(scene.redis), snapshot(scene.redis, 0)
        client = scene.client("submit", jobs)
        submitting = before.per_job(snapshot(scene.redis, jobs))
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
            f"{pool} Redis CPU": costs["redis_cpu"],
            f"{pool} commands": costs["commands"],
            "submit rate": 1 / client["wall"],
            "submit CPU": 1e6 * client["cpu"],
            "submit Redis CPU": submitting["redis_cpu"],
            "submit commands": submitting["commands"],
            "memory": (used_memory(scene.redis) - empty) / jobs,
            "keys": key_bytes(scene.redis) / jobs,
        }


def latency(side: str, jobs: int) -> Figures:
    """One job after the other, from ``delay()`` to the end of ``get()``, with an idle prefork worker."""
    with stage(side) as scene, scene.worker("prefork"):
        seconds = scene.client("latency", jobs)["seconds"]
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"latency p50": 1e3 * cuts[49], "latency p99": 1e3 * cuts[98]}


def commands(side: str, jobs: int) -> Figures:
    """The commands of whole round trips by MONITOR: what clients sent, and what scripts did inside Redis."""
    with stage(side) as scene, scene.worker("prefork"), scene.redis.monitor() as monitor:
        scene.client("latency", jobs)
        in_scripts = _between_marks(monitor.next_command)
    return {
        "commands sent": in_scripts.count(False) / jobs,
        "commands in scripts": in_scripts.count(True) / jobs,
    }


def _between_marks(next_command: Callable[[], dict[str, str]]) -> list[bool]:
    """For each command of the timed part: whether a script called it."""
    while BEGIN not in next_command()["command"]:
        pass
    entries = itertools.takewhile(lambda entry: END not in entry["command"], iter(next_command, None))
    return [entry["client_type"] == "lua" for entry in entries]


def few(jobs: int) -> int:
    """Jobs for measurements that wait for each one."""
    return max(100, jobs // 10)


MEASUREMENTS = {
    "prefork": lambda side, jobs: drain(side, "prefork", jobs),
    "solo": lambda side, jobs: drain(side, "solo", jobs),
    "latency": lambda side, jobs: latency(side, few(jobs)),
    "commands": lambda side, jobs: commands(side, few(jobs)),
}

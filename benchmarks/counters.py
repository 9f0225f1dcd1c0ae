"""What is counted while jobs run: commands and CPU time of Redis, CPU time of the worker, jobs done, bytes kept."""

from __future__ import annotations

import os
import resource
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

OURS = ("info", "memory|usage", "scan", "monitor", "echo")  # commands only the benchmark itself sends
BEGIN, END = "benchmark begins", "benchmark ends"  # marks in the stream of commands
TICKS = os.sysconf("SC_CLK_TCK")


class Stamps:
    """The file in which every run of the task notes its time: counting jobs costs Redis nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def count(self) -> int:
        """How many jobs have run."""
        return self.path.stat().st_size // 8 if self.path.exists() else 0

    def rate(self) -> float:
        """Jobs per second, from the end of a warm-up of one job in twenty to the last job."""
        times = array("d", self.path.read_bytes())
        steady = sorted(times)[len(times) // 20 :]
        return (len(steady) - 1) / (steady[-1] - steady[0])


@dataclass(frozen=True)
class Snapshot:
    """Counters at one moment; the difference of two, divided by the jobs between them, is the cost of a job."""

    jobs: int
    commands: int
    redis_cpu: float
    worker_cpu: float

    def per_job(self, later: Snapshot) -> dict[str, float]:
        """Commands, and CPU microseconds of Redis and of the worker, per job since this snapshot."""
        jobs = later.jobs - self.jobs
        return {
            "commands": (later.commands - self.commands) / jobs,
            "redis_cpu": 1e6 * (later.redis_cpu - self.redis_cpu) / jobs,
            "worker_cpu": 1e6 * (later.worker_cpu - self.worker_cpu) / jobs,
        }


def snapshot(redis: Redis, jobs: int, *workers: int) -> Snapshot:
    """The counters now; `workers` are the process ids of workers' main processes."""
    cpu: dict[str, Any] = redis.info("cpu")
    return Snapshot(
        jobs=jobs,
        commands=_commands(redis),
        redis_cpu=cpu["used_cpu_user"] + cpu["used_cpu_sys"],
        worker_cpu=sum(map(_cpu_of_tree, workers)),
    )


def _commands(redis: Redis) -> int:
    stats: dict[str, Any] = redis.info("commandstats")
    names = {name.removeprefix("cmdstat_"): value["calls"] for name, value in stats.items()}
    return sum(calls for name, calls in names.items() if name not in OURS)


def _cpu_of_tree(pid: int) -> float:
    """CPU seconds of a process, its living children and the dead ones it has waited for (Linux; elsewhere 0)."""
    folder = Path("/proc", str(pid))
    try:
        ticks = folder.joinpath("stat").read_text().rpartition(")")[2].split()[11:15]
        children = " ".join(path.read_text() for path in folder.glob("task/*/children")).split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, ticks)) / TICKS + sum(_cpu_of_tree(int(child)) for child in children)


class Neighbours:
    """How many processors other programs keep busy, on average, from now on (Linux; elsewhere 0)."""

    def __init__(self) -> None:
        self._wall, self._busy, self._own = time.monotonic(), _busy_seconds(), _own_seconds()

    def processors(self) -> float:
        """Processors kept busy by programs that are neither this process nor one that it has waited for."""
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        return max(0.0, others) / (time.monotonic() - self._wall)


def _busy_seconds() -> float:
    """CPU seconds of the whole machine that were not idle; those a hypervisor kept back are among them."""
    stat = Path("/proc/stat")
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(
        int, (stat.read_text() if stat.exists() else "cpu 0 0 0 0 0 0 0 0").split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


def _own_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def used_memory(redis: Redis) -> int:
    """Bytes Redis has allocated, but for the scripts, which are there once however many jobs there are."""
    memory: dict[str, Any] = redis.info("memory")
    return int(memory["used_memory"]) - int(memory.get("used_memory_scripts_eval", 0))


def key_bytes(redis: Redis) -> int:
    """Bytes of all keys and values, each asked for singly and counted in full."""
    with redis.pipeline(transaction=False) as pipe:
        for key in redis.scan_iter(count=1000):
            pipe.memory_usage(key, samples=0)
        return sum(size or 0 for size in pipe.execute())

"""What is measured of each queue, and of plain Celery and jobkit beside them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.counters import snapshot
from benchmarks.measure import SETTLE, Figures, few
from benchmarks.peers.environments import programs
from benchmarks.peers.table import PEERS
from benchmarks.rows import Row
from benchmarks.stage import Stage, Worker, stage

PEER = {peer.name: peer for peer in PEERS}
SIDES = ("celery", "jobkit", *PEER)
#: Those that have something better than one by one.
BULK = ("jobkit", "rq", "taskiq", "saq", "arq")
CELERY = "prefork"  #: with -c 2

ROWS = (
    Row("submit", "one by one", "jobs/s", True),
    Row("submit CPU", "client CPU", "µs/job"),
    Row("bulk", "bulk", "jobs/s", True),
    Row("drain", "drain", "jobs/s", True),
    Row("work", "10 ms", "jobs/s", True),
    Row("commands", "commands", "per job"),
    Row("Redis CPU", "Redis CPU", "µs/job"),
    Row("worker CPU", "worker CPU", "µs/job"),
)


def measure(side: str, jobs: int) -> Figures:
    """Submit `jobs` no-op jobs one by one, let workers run them all; the same with jobs of 10 ms; submit in bulk.

    Commands and CPU time of Redis are those of a job's whole life; those of the worker without its start.
    """
    with stage(side) as scene:
        before = snapshot(scene.redis, 0)
        client = _submit(scene, side, "submit", "noop", jobs)
        submitting = before.per_job(snapshot(scene.redis, jobs))
        with _workers(scene, side) as workers:
            pids = [worker.process.pid for worker in workers]
            workers[0].wait_for(scene.stamps, jobs // 20)
            warm = snapshot(scene.redis, scene.stamps.count(), *pids)
            workers[0].wait_for(scene.stamps, jobs)
            time.sleep(SETTLE)
            costs = warm.per_job(snapshot(scene.redis, jobs, *pids))
        figures = {
            "submit": 1 / client["wall"],
            "submit CPU": 1e6 * client["cpu"],
            "drain": scene.stamps.rate(),
            "commands": submitting["commands"] + costs["commands"],
            "Redis CPU": submitting["redis_cpu"] + costs["redis_cpu"],
            "worker CPU": costs["worker_cpu"],
        }
    with stage(side) as scene:
        _submit(scene, side, "submit", "work", few(jobs))
        with _workers(scene, side) as workers:
            workers[0].wait_for(scene.stamps, few(jobs))
        figures["work"] = scene.stamps.rate()
    if side in BULK:
        with stage(side) as scene:
            figures["bulk"] = 1 / _submit(scene, side, "bulk", "noop", jobs)["wall"]
    return figures


def _submit(scene: Stage, side: str, verb: str, task: str, jobs: int) -> dict[str, Any]:
    if side not in PEER:
        return scene.client(verb, jobs, task)
    return scene.run(str(programs(PEER[side]) / "python"), "-m", "benchmarks.peers.client", side, verb, task, str(jobs))


@contextmanager
def _workers(scene: Stage, side: str) -> Iterator[Sequence[Worker]]:
    with ExitStack() as stack:
        if side not in PEER:
            yield [stack.enter_context(scene.worker(CELERY))]
            return
        where = programs(PEER[side])
        commands = [[word.format(redis=scene.env["BENCH_REDIS"]) for word in words] for words in PEER[side].workers]
        # How long they take to stop is not our concern.
        yield [
            stack.enter_context(scene.start(str(where / "python"), str(where / name), *words, kill=True))
            for name, *words in commands
        ]

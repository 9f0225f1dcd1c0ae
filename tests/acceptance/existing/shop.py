"""The shop, with and without jobkit, on every pool: one worker each for all the assertions of this folder."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery.utils.nodenames import gethostname
from redis import Redis

from jobkit import JobKit
from jobkit.testing import WorkerProcess, eventually
from tests.acceptance.apps import imported, running

APP = "tests.acceptance.plain_app"
NAME = f"shop@{gethostname()}"
#: In this order, so that what only the first ones can do is asked of a prefix of the list.
POOLS = ("prefork", "threads", "gevent", "solo")
SIDES = ("plain", "jobkit")


def on(*pools: str) -> list[Any]:
    """The parameters of the fixture `shop` for these pools."""
    return [pytest.param((pool, side), id=f"{pool}-{side}") for pool in pools for side in SIDES]


#: Only where a child can be killed alone.
prefork = pytest.mark.parametrize("shop", on("prefork"), indirect=True)
#: Only where the worker hears orders while a task runs.
concurrent = pytest.mark.parametrize("shop", on("prefork", "threads", "gevent"), indirect=True)


class Shop:
    """One worker, and a client in this process."""

    def __init__(self, module: Any, redis: Redis, pool: str, worker: WorkerProcess) -> None:
        self.m, self.app = module, module.app
        self.jobs: JobKit | None = getattr(module.app, "jobkit", None)
        self.redis, self.pool, self.worker = redis, pool, worker
        self._heard: dict[str, tuple[str, ...]] = {}

    def notes(self, task_id: str) -> tuple[str, ...]:
        """What was noted of a task, in order."""
        found: Any = self.redis.lrange(f"notes:{task_id}", 0, -1)
        return tuple(event.decode() for event in found)

    def heard(self, task_id: str, *events: str, in_order: bool = True) -> None:
        """Await exactly these notes; nothing may be added to them later, see `unchanged`."""
        eventually(
            lambda: len(self.notes(task_id)) >= len(events),
            message=lambda: f"not all of {events}: {self.notes(task_id)}",
        )
        assert self.notes(task_id) == events if in_order else Counter(self.notes(task_id)) == Counter(events)
        self._heard[task_id] = self.notes(task_id)

    def unchanged(self) -> None:
        """Nothing was noted after what had been heard: nothing ran twice."""
        assert {task_id: self.notes(task_id) for task_id in self._heard} == self._heard

    @property
    def asked(self) -> dict[str, Any]:
        """Options that ask this worker alone, and return as soon as it has answered."""
        return {"destination": [NAME], "timeout": 10}

    def go(self, key: str, times: int = 1) -> None:
        """Let what holds on to this key go on."""
        self.redis.rpush(f"go:{key}", *["go"] * times)


@contextmanager
def open_shop(url: str, folder: Path, pool: str, side: str) -> Iterator[Shop]:
    """Start a worker of the shop on an empty Redis, and import the shop anew for the client."""
    if pool == "gevent" and importlib.util.find_spec("gevent") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("NOT TESTED on gevent: pip install gevent")
    ours = {"SHOP_REDIS": url, "C_FORCE_ROOT": "1", **({"SHOP_JOBKIT": "yes"} if side == "jobkit" else {})}
    with (
        running(APP, ours, folder, f"--pool={pool}", f"--hostname={NAME}", "--queues=celery,express") as worker,
        imported(APP, ours) as module,
        Redis.from_url(url) as redis,
    ):
        worker.wait_ready()
        yield Shop(module, redis, pool, worker)

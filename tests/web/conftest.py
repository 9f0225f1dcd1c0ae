"""One shop with a past for all tests of the pages: its jobs ran before Flower was started."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from jobkit.embedded import EmbeddedRedis
from jobkit.model import Job
from jobkit.testing import WorkerProcess, eventually
from tests.web.flowers import APP, CHROMIUM, HOSTILE, ROOT, Flower, chromium, flower


@pytest.fixture(scope="session")
def shop_redis() -> Iterator[EmbeddedRedis]:
    """A Redis that keeps its data when it is restarted."""
    with EmbeddedRedis(appendonly=True) as server:
        yield server


@pytest.fixture(scope="session")
def past(shop_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Jobs that have ended, and one that waits in a queue without any worker; Flower saw none of it.

    All of them have the tag "past"; what a test submits has not.
    """
    os.environ["SHOP_REDIS"] = shop_redis.url
    from tests.web import shop

    ids = SimpleNamespace(
        packed=shop.jobs.submit(shop.pack.s(12), owner="alice", tags=("past", "spring")).id,
        failed=shop.jobs.submit(shop.fetch.s(HOSTILE), owner=HOSTILE, tags=("past",)).id,
        partly=shop.jobs.submit(shop.count.s(), job_id="stock/2026 <i>", tags=("past",)).id,
    )
    _define(shop)
    lost = shop.jobs.submit(shop.deliver.s()).id
    folder = tmp_path_factory.mktemp("worker")
    command = [sys.executable, "-m", "celery", "-A", APP, "worker", "--pool=solo", "--loglevel=INFO"]
    worker = WorkerProcess(command, {"SHOP_REDIS": shop_redis.url}, ROOT, folder / "worker.log")
    try:
        eventually(
            lambda: not worker.alive or all(map(_ended, map(shop.jobs.get, (*vars(ids).values(), lost, "@nightly")))),
            60,
            lambda: worker.log,
        )
        assert worker.alive, worker.log
        worker.stop()
    finally:
        worker.clean_up()
    ids.queued = shop.jobs.submit(shop.pack.s(1), owner="bob", tags=("past",)).id
    return ids


def _define(shop: Any) -> None:
    """One that has run when Flower comes, one that is paused, and one whose name and data are hostile."""
    nightly = {"crontab": "0 3 * * *", "timezone": "Europe/Berlin", "jitter": 90}
    shop.jobs.definitions.create(
        "nightly", task=shop.pack, name="Nightly packing", data={"things": 3}, owner="carol", schedule=[nightly, 7200]
    )
    shop.jobs.definitions.queue_now("nightly", reason="spring")
    shop.jobs.definitions.create("weekly", task=shop.count, schedule="0 3 * * sun")
    shop.jobs.definitions.pause("weekly", "the shop moves")
    shop.jobs.definitions.create("hostile", task=HOSTILE, name=HOSTILE, data={HOSTILE: HOSTILE}, owner=HOSTILE)


def _ended(job: Job) -> bool:
    return job.ended_at is not None and not job.is_live


@pytest.fixture(scope="session")
def pages(
    shop_redis: EmbeddedRedis, past: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flower]:
    """A Flower that was started after all of it."""
    with flower(shop_redis.url, tmp_path_factory.mktemp("flower")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium, driven by playwright: while that is there, nothing else in this thread can use asyncio."""
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM))
        yield running
        running.close()

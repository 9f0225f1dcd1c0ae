"""Apps in processes of their own: a worker, and its module imported anew for the client in this process."""

from __future__ import annotations

import gc
import importlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import _state
from celery.exceptions import DuplicateTaskNameWarning
from redis import Redis

from jobkit import Job, JobKit
from jobkit.testing import WorkerProcess, eventually

ROOT = Path(__file__).parents[2]
JOBS_APP = "tests.acceptance.jobs_app"


@contextmanager
def imported(name: str, environment: Mapping[str, str]) -> Iterator[Any]:
    """A module with a Celery app, imported anew in this environment."""
    # Celery gives the tasks of every module to every later app of the process, and warns of those it has already.
    others = set(_state._on_app_finalizers)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        sys.modules.pop(name, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DuplicateTaskNameWarning)
            module: ModuleType = importlib.import_module(name)
        try:
            yield module
        finally:
            close(module.app)
            _state._on_app_finalizers &= others
            del sys.modules[name], module
            gc.collect()


def close(app: Any) -> None:
    """Close a client and let go of its results now: one that goes later talks to a Redis that is gone, for a minute."""
    for waiting in app.backend._pending_results:
        waiting.clear()
    if jobs := getattr(app, "jobkit", None):
        jobs.close()
    app.close()
    gc.collect()


@contextmanager
def running(name: str, environment: Mapping[str, str], folder: Path, *options: str) -> Iterator[WorkerProcess]:
    """A worker of the app in this module; wait until it is ready before you send."""
    quick = ("--without-mingle", "--without-gossip", "--loglevel=INFO", "--concurrency=2")
    command = [sys.executable, "-m", "celery", "-A", name, "worker", *quick, *options]
    worker = WorkerProcess(command, environment, ROOT, folder / "worker.log")
    try:
        yield worker
    finally:
        worker.clean_up()


class Stage:
    """The app of `jobs_app`: one worker, and a client in this process."""

    def __init__(self, module: Any, redis: Redis, worker: WorkerProcess) -> None:
        self.m, self.redis, self.worker = module, redis, worker
        self.store: str = module.STORE
        self.app: Any = module.app
        self.jobs: JobKit = module.jobs

    def notes(self, task_id: str) -> list[str]:
        """What was noted of a task, in order."""
        found: Any = self.redis.lrange(f"notes:{task_id}", 0, -1)
        return [event.decode() for event in found]

    def go(self, key: str) -> None:
        """Let what waits for this key go on."""
        self.redis.rpush(f"go:{key}", "go")

    def path(self, job_id: str) -> str:
        """The states of its whole history, as one line."""
        return " ".join(str(step.target) for step in self.jobs.history(job_id))

    def ended(self, job_id: str) -> Job:
        """The job, once it has come to its end."""
        eventually(lambda: not self.jobs.get(job_id).is_live, message=f"{job_id} has not ended")
        return self.jobs.get(job_id)


@contextmanager
def open_stage(folder: Path, store: str, *options: str, **environment: str) -> Iterator[Stage]:
    """A worker of `jobs_app` whose records are in this Redis."""
    variables = {"JOBS_STORE": store, **environment}
    with (
        running(JOBS_APP, variables, folder, *options) as worker,
        imported(JOBS_APP, variables) as module,
        Redis.from_url(store) as redis,
    ):
        worker.wait_ready()
        yield Stage(module, redis, worker)

"""The shipped pytest plugin: real Celery workers on a private Redis."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from jobkit.embedded import EmbeddedRedis
from jobkit.testing import WorkerFactory, WorkerProcess, eventually
from tests.processes import gone

APP = """
import os
from celery import Celery
app = Celery("plain", broker=os.environ["URL"], backend=os.environ["URL"])

@app.task
def where():
    return os.getpid()
"""


@pytest.fixture
def start(worker_process: WorkerFactory, jobkit_store_url: str, tmp_path: Path) -> WorkerFactory:
    (tmp_path / "plain_app.py").write_text(APP)

    def start_plain(**options: Any) -> WorkerProcess:
        return worker_process("plain_app", cwd=tmp_path, env={"URL": jobkit_store_url}, **options)

    return start_plain


def test_eventually_returns_what_came_true() -> None:
    answers = iter([0, "", "done"])
    assert eventually(lambda: next(answers)) == "done"


def test_eventually_gives_up_with_the_last_value() -> None:
    with pytest.raises(AssertionError, match=r"no luck \(waited 0\.05 s, last seen: \[\]\)"):
        eventually(list, 0.05, "no luck")


def test_the_store_url_is_empty_and_private(jobkit_redis: EmbeddedRedis, jobkit_store_url: str) -> None:
    assert jobkit_store_url != jobkit_redis.url
    with Redis.from_url(jobkit_store_url) as client:
        assert client.dbsize() == 0


def test_a_worker_is_ready_and_stops(start: WorkerFactory) -> None:
    worker = start(pool="threads", concurrency=1, queues=["mail", "post"])
    assert worker.alive
    assert "exchange=mail" in worker.log
    assert "exchange=post" in worker.log
    assert worker.stop() == 0
    assert not worker.alive


def test_kill_ends_the_main_process_and_clean_up_the_rest(start: WorkerFactory) -> None:
    worker = start(pool="prefork", concurrency=2)
    children = psutil.Process(worker.pid).children(recursive=True)
    assert len(children) == 2
    for child in children:
        os.kill(child.pid, signal.SIGSTOP)  # or they would notice their parent's death
    worker.kill()
    assert not worker.alive
    worker.clean_up()
    eventually(lambda: all(gone(child.pid) for child in children))


def test_a_worker_that_cannot_start_shows_its_log(worker_process: WorkerFactory, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"(?s)ended with \d+; the end of its log.*no_such_module"):
        worker_process("no_such_module", cwd=tmp_path)

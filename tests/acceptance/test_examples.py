"""The example jobs that have families, locks, rollback and checkpoints: real files, real processes, real kill -9."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery

import workers
from jobkit import JobKit, Outcome, State
from jobkit.testing import WorkerFactory, WorkerProcess, eventually
from tests.brokers import beside, shipped, variables

ROOT = Path(workers.__file__).parent.parent
PRESENT, IMPORT = "workers.jobs.repositories.present_repository", "workers.jobs.imports.import_rows"


@pytest.fixture
def jobs(jobkit_store_url: str) -> Iterator[JobKit]:
    """A client that knows the tasks by name only."""
    with Celery("client", **beside(jobkit_store_url), set_as_current=False) as app:
        yield JobKit(app)


@pytest.fixture
def start(jobkit_store_url: str, worker_process: WorkerFactory) -> Callable[[], WorkerProcess]:
    env = variables(jobkit_store_url)
    return lambda: worker_process(shipped(), env=env, concurrency=2, cwd=ROOT)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[Path, list[Path]]]:
    """A repository, and three servers; whatever they run is ended."""
    repository = tmp_path / "iso"
    repository.mkdir()
    (repository / "disk.img").write_bytes(b"image")
    servers = [tmp_path / f"ovs{n}" for n in range(3)]
    for server in servers:
        server.mkdir()
    yield repository, servers
    for pid in presenting(servers):
        os.kill(pid, signal.SIGKILL)


def presenting(servers: list[Path]) -> list[int]:
    """The processes that present something."""
    notes = [json.loads(note.read_text()) for server in servers for note in server.glob("*.json")]
    return [note["pid"] for note in notes if psutil.pid_exists(note["pid"])]


def submit(jobs: JobKit, task: str, *args: Any) -> Any:
    return jobs.submit(jobs.app.signature(task, args=args))


def state(jobs: JobKit, job_id: str) -> State:
    return jobs.get(job_id).state


def test_a_repository_is_presented_to_every_server(
    jobs: JobKit, start: Callable[[], WorkerProcess], places: tuple[Path, list[Path]]
) -> None:
    repository, servers = places
    start()
    handle = submit(jobs, PRESENT, str(repository), [str(server) for server in servers])
    assert handle.get(timeout=60) == "iso is presented to 3 servers"
    assert len(presenting(servers)) == 3
    children = jobs.tree(handle.id).children
    assert [one.job.task.rpartition(".")[2] for one in children] == ["present_to"] * 3
    assert all(jobs.get(one.job.id).result["url"].startswith("http://127.0.0.1:") for one in children)
    assert jobs.locks() == ()


def test_when_one_server_is_not_there_nobody_presents_it(
    jobs: JobKit, start: Callable[[], WorkerProcess], places: tuple[Path, list[Path]]
) -> None:
    repository, servers = places
    start()
    handle = submit(jobs, PRESENT, str(repository), [*map(str, servers), str(repository.parent / "gone")])
    with pytest.raises(Exception, match="gone is not there"):
        handle.get(timeout=60)
    assert presenting(servers) == []
    assert not [note for server in servers for note in server.iterdir()]
    undone = [one.job.args for one in jobs.tree(handle.id).children if one.kind == "compensation"]
    assert ["gone" in undone[0], *(f"ovs{n}" in undone[3 - n] for n in (2, 1, 0))] == [True] * 4
    assert (state(jobs, handle.id), jobs.locks()) == (State.ERROR, ())


def csv_file(folder: Path, rows: int) -> Path:
    path = folder / "catalog.csv"
    path.write_text("name,price\n" + "".join(f"chair {n},{n}\n" for n in range(rows)))
    return path


def imported(database: Path) -> list[int]:
    if not database.exists():
        return []
    with closing(sqlite3.connect(database)) as table:
        tables = table.execute("SELECT name FROM sqlite_master").fetchall()
        return [row[0] for row in table.execute("SELECT number FROM rows ORDER BY rowid")] if tables else []


def test_an_import_is_paused_and_goes_on_where_it_stopped(
    jobs: JobKit, start: Callable[[], WorkerProcess], tmp_path: Path
) -> None:
    start()
    database = tmp_path / "catalog.db"
    handle = submit(jobs, IMPORT, str(csv_file(tmp_path, 150)), str(database), 0.01)
    eventually(lambda: len(imported(database)) > 10, 30)
    jobs.pause(handle.id)
    eventually(lambda: state(jobs, handle.id) is State.SUSPENDED, 20)
    done = len(imported(database))
    assert 10 < done < 150
    # Nobody else may import there meanwhile.
    (lock,) = jobs.locks()
    assert list(lock.holders) == [handle.id]
    jobs.resume(handle.id)
    assert handle.get(timeout=60) == 150
    assert imported(database) == list(range(150))
    assert jobs.get(handle.id).run > 1


def test_an_import_is_aborted(jobs: JobKit, start: Callable[[], WorkerProcess], tmp_path: Path) -> None:
    start()
    database = tmp_path / "catalog.db"
    handle = submit(jobs, IMPORT, str(csv_file(tmp_path, 500)), str(database), 0.01)
    eventually(lambda: len(imported(database)) > 10, 30)
    jobs.abort(handle.id)
    eventually(lambda: state(jobs, handle.id) is State.CANCELLED, 20)
    assert (len(imported(database)) < 500, jobs.locks()) == (True, ())


def test_an_import_whose_worker_is_killed_goes_on_elsewhere(
    jobs: JobKit, start: Callable[[], WorkerProcess], tmp_path: Path
) -> None:
    doomed = start()
    database, path = tmp_path / "catalog.db", csv_file(tmp_path, 150)
    with path.open("a") as file:
        file.write("a row too long,1,2\n")
    handle = submit(jobs, IMPORT, str(path), str(database), 0.01)
    eventually(lambda: len(imported(database)) > 70, 30)
    start()
    doomed.kill()
    assert handle.get(timeout=60) == 150
    job = jobs.get(handle.id)
    assert (job.outcome, job.message) == (Outcome.PARTIALLY_SUCCEEDED, "1 of 151 rows skipped")
    assert imported(database) == list(range(150))

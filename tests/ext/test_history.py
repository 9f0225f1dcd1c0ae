"""The history of executions: from Redis while it lasts, then from the archive; SQLite, and PostgreSQL where it is."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from jobkit import InvalidOption, JobKit, Outcome
from jobkit.errors import ArchiveError
from jobkit.services.archive import Archive
from jobkit.states import State
from jobkit.store import End, Plan, Settled, history
from jobkit.testing import eventually

UTC = timezone.utc
POSTGRES = shutil.which("postgres") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres")), None)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private PostgreSQL on a socket of its own."""
    if not POSTGRES:
        pytest.skip("there is no PostgreSQL on this machine")
    folder = tmp_path_factory.mktemp("pg")
    tools, as_user = Path(POSTGRES).resolve().parent, []
    if Path("/proc/self").owner() == "root":  # which PostgreSQL refuses to run as
        shutil.chown(folder, "nobody")
        for parent in folder.parents:
            if parent.owner() == "root" and str(parent).startswith("/tmp/"):
                parent.chmod(0o755)
        as_user = ["setpriv", "--reuid=nobody", "--clear-groups"]
    init = [*as_user, str(tools / "initdb"), "-D", f"{folder}/data", "-U", "jobkit", "-A", "trust", "--no-sync"]
    subprocess.run(init, check=True, capture_output=True, cwd="/")
    server = subprocess.Popen(
        [*as_user, str(tools / "postgres"), "-D", f"{folder}/data", "-k", str(folder), "-c", "listen_addresses="],
        stderr=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    try:
        ready = [str(tools / "pg_isready"), "-h", str(folder)]
        eventually(lambda: subprocess.run(ready, capture_output=True).returncode == 0, 30, "PostgreSQL is not up")
        yield f"postgresql+psycopg://jobkit@/postgres?host={folder}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def ran(jobs: JobKit, add: Any) -> Callable[..., None]:
    """Run a definition once, in this process."""
    jobs.definitions.create("one", task=add, data={"a": 1, "b": 2})
    jobs.definitions.create("two", task=add, data={"a": 1, "b": 2})

    def run(name: str = "one", outcome: Outcome = Outcome.SUCCEEDED, message: str = "fine") -> None:
        [answer] = jobs.definitions.queue_now(name, reason="a test")
        run, token = jobs.get(answer.job_id).run, f"t{jobs.get(answer.job_id).run}"
        plan = Plan(answer.job_id, "small.add", "")
        jobs.store.claim(answer.job_id, run, token, "w1@host|b", 1, redelivered=False, plan=plan)
        verbs = ("fail",) if outcome is Outcome.FAILED else ("finish",)
        jobs.store.finish(answer.job_id, Settled(run, token, "w1@host|b"), End(verbs, outcome, message))

    return run


def test_an_execution_has_all_there_is_to_know(jobs: JobKit, ran: Callable[..., None]) -> None:
    ran(message="three of three")
    [one] = jobs.definitions.history("one")
    assert (one.definition, one.job_id, one.run, one.task) == ("one", "@one", 1, "small.add")
    assert (one.state, one.outcome, one.message, one.agent) == (
        State.FINISHED,
        Outcome.SUCCEEDED,
        "three of three",
        "w1@host",
    )
    assert one.source.startswith("queued by ")
    assert one.source.endswith(": a test")
    assert one.queued_at
    assert one.started_at
    assert one.queued_at <= one.started_at <= one.ended_at <= datetime.now(UTC) + timedelta(seconds=1)


def test_it_is_asked_by_definition_result_and_time(jobs: JobKit, ran: Callable[..., None]) -> None:
    for name, outcome in (("one", "SUCCEEDED"), ("two", "FAILED"), ("one", "FAILED"), ("one", "PARTIALLY_SUCCEEDED")):
        ran(name, Outcome(outcome))
    ask = jobs.definitions.history
    assert [one.definition for one in ask()] == ["one", "one", "two", "one"]
    assert [one.outcome for one in ask("one")] == ["PARTIALLY_SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert [one.run for one in ask("one", result="failed")] == [2]
    assert ask("one", since=datetime.now(UTC) + timedelta(minutes=1)) == []
    assert len(ask(limit=2)) == 2
    latest = jobs.definitions.latest("one")
    assert latest
    assert latest.run == 3
    assert jobs.definitions.latest("nobody") is None
    with pytest.raises(InvalidOption, match="did you mean SUCCEEDED"):
        ask(result="succeded")


def test_it_survives_the_job_and_the_definition(jobs: JobKit, ran: Callable[..., None]) -> None:
    ran()
    jobs.definitions.delete("one")
    jobs.store.forget("@one")
    assert len(jobs.definitions.history("one")) == 1


def test_it_stays_under_its_bound_of_bytes(jobs: JobKit, ran: Callable[..., None]) -> None:
    history.keep(jobs.store, 3600, 200_000)
    for _ in range(260):
        ran(message="x" * 3000)
    client: Any = jobs.store.client
    assert client.memory_usage(jobs.store.keys.key("history"), samples=0) < 400_000
    kept = jobs.definitions.history("one", limit=1000)
    assert 30 < len(kept) < 200
    assert kept[0].run == 260  # the oldest went
    assert client.zcard(jobs.store.keys.key("executions", "one")) == len(kept)


def test_it_stays_for_its_time(jobs: JobKit, ran: Callable[..., None]) -> None:
    ran()
    history.keep(jobs.store, 0.001, 1_000_000)
    eventually(lambda: history.trim(jobs.store))
    assert jobs.definitions.history("one") == []


@pytest.fixture(params=["sqlite", "postgresql"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/archive.sqlite"
    return str(request.getfixturevalue("postgres"))


def test_the_archive_goes_on_where_redis_ends(
    jobs: JobKit,
    ran: Callable[..., None],
    archive: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    namespace = f"n{abs(hash(request.node.name))}"
    kept = Archive(archive, namespace)
    ran(message="first")
    ran("two", Outcome.FAILED)
    assert (kept.drain(jobs.store), kept.drain(jobs.store)) == (2, 0)
    other = Archive(archive, namespace)
    monkeypatch.setattr(other, "_last", lambda: "")  # another worker that was as fast
    assert other.drain(jobs.store) == 2
    jobs.store.client.delete(jobs.store.keys.key("history"))
    ran(message="later")
    jobs.definitions.archive = kept
    assert [(one.definition, one.message) for one in jobs.definitions.history()] == [
        ("one", "later"),
        ("two", "fine"),
        ("one", "first"),
    ]
    assert [one.message for one in jobs.definitions.history("one", "SUCCEEDED")] == ["later", "first"]
    assert kept.drain(jobs.store) == 1
    assert len(jobs.definitions.history()) == 3
    last = kept.read("one", limit=1)[0]
    assert last == replace(last, message="later", agent="w1@host", state=State.FINISHED)
    assert kept.read(since=datetime.now(UTC) + timedelta(hours=1)) == []
    kept.close()
    other.close()


def test_an_archive_that_cannot_be_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="unable to open database file"):
        Archive(f"sqlite:///{tmp_path}/no/where.sqlite", "n").read()
    for url in ("nonsense", "mysql+nothing://u:secret@h/d"):
        with pytest.raises(InvalidOption, match="jobkit_archive_backend") as error:
            Archive(url, "n").read()
        assert "secret" not in str(error.value)

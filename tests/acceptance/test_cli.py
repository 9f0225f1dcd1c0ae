"""The command line over real jobs: a private Redis, a real worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner, Result

from jobkit import JobKit, Outcome, State
from jobkit.cli import exits, jobs
from jobkit.cli.main import jobkit
from jobkit.store import End, Plan, Settled
from jobkit.testing import WorkerFactory
from tests.brokers import beside, shipped, variables

ROOT = Path(__file__).parents[2]
CREATE_DISK = "workers.jobs.disks.create_disk"

Call = Callable[..., Result]


def make_app(url: str) -> Celery:
    return Celery("cli_shop", **beside(url), set_as_current=False)


@pytest.fixture
def kit(jobkit_store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobKit]:
    """The app the commands are called for."""
    module: Any = ModuleType("cli_shop")
    with make_app(jobkit_store_url) as module.app:
        monkeypatch.setitem(sys.modules, "cli_shop", module)
        yield JobKit(module.app)


@pytest.fixture
def call(kit: JobKit) -> Call:
    return lambda *words: CliRunner().invoke(jobkit, ["-A", "cli_shop", *words])


@pytest.fixture
def submit(kit: JobKit, tmp_path: Path) -> Callable[..., str]:
    """Submit a disk job; returns its id."""

    def send(name: str = "a.img", **options: Any) -> str:
        task = kit.app.signature(CREATE_DISK, args=(name, "1M", str(tmp_path / "disks")))
        job_id: str = kit.submit(task, **options).id
        return job_id

    return send


@pytest.fixture
def worker(worker_process: WorkerFactory, jobkit_store_url: str) -> Callable[[], Any]:
    env = variables(jobkit_store_url)
    return lambda: worker_process(shipped(), env=env, concurrency=1, cwd=ROOT)


def found(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_waiting_job_is_moved_about(call: Call, submit: Callable[..., str]) -> None:
    job_id = submit(start_at=3600, owner="alice", tags=["night"])
    assert found(call("suspend", job_id, "-j"))[0]["state"] == "SUSPENDED"
    assert found(call("reschedule", job_id, "--in", "2h", "-j"))[0]["state"] == "WAITING_FOR_START"
    assert found(call("reschedule", job_id, "--at", "2100-01-01T00:00:00Z", "-j"))[0]["start_at"].startswith(
        "2100-01-01"
    )
    assert found(call("resume", job_id[-8:], "-j"))[0]["state"] == "QUEUED"
    assert found(call("abort", job_id, "--reason", "wrong list", "-j"))[0]["state"] == "REMOVING"

    [run] = found(call("history", job_id, "-j"))["runs"]
    assert [step["target"] for step in run["path"]] == [
        *("WAITING_FOR_START", "SUSPENDED", "WAITING_FOR_START", "WAITING_FOR_START", "QUEUED", "REMOVING")
    ]
    assert run["path"][-1]["reason"] == "wrong list"


def test_jobs_are_found_by_state_owner_tag_and_task(call: Call, submit: Callable[..., str]) -> None:
    mine, late, other = submit(owner="alice", tags=["x"]), submit(owner="alice", start_at=60), submit(owner="bob")
    everything = [job["id"] for job in found(call("list", "-j"))]
    assert sorted(everything) == sorted([mine, late, other])
    # Newest first; jobs of one millisecond come state by state.
    assert [job["id"] for job in found(call("list", "--state", "queued", "-j"))] == [other, mine]
    assert [job["id"] for job in found(call("list", "--limit", "2", "-j"))] == everything[:2]
    assert [job["id"] for job in found(call("list", "--owner", "alice", "--state", "queued", "-j"))] == [mine]
    assert [job["id"] for job in found(call("list", "--tag", "x", "-j"))] == [mine]
    assert len(found(call("list", "--task", CREATE_DISK, "--all", "-j"))) == 3
    assert found(call("list", "--task", "nonesuch", "-j")) == []


def test_a_job_is_watched_to_its_end(call: Call, submit: Callable[..., str], worker: Callable[[], Any]) -> None:
    good, bad, removed = submit("a.img"), submit("no/such name"), submit("b.img")
    call("abort", removed)
    waiting = call("watch", good, "--timeout", "0.5")
    assert waiting.exit_code == exits.TIMEOUT
    assert waiting.stdout.split("\t")[4] == "QUEUED"

    worker()
    watched = call("watch", good, "--json", "--timeout", "60")
    assert watched.exit_code == exits.OK, watched.output
    path = [json.loads(line)["target"] for line in watched.stdout.splitlines()]
    assert path == ["QUEUED", "RUNNING", "FINISHED"]
    assert call("watch", bad, "--timeout", "60").exit_code == exits.BAD_END
    assert call("watch", removed, "--timeout", "60").exit_code == exits.BAD_END

    shown = found(call("show", good[-8:], "-j"))
    assert (shown["state"], shown["outcome"]) == (State.FINISHED, Outcome.SUCCEEDED)
    assert shown["result"]["bytes"] == 1024**2
    assert "SHA-256" in shown["log"][0]["message"]
    shown = found(call("show", bad, "-j"))
    assert shown["failure"]["type"] == "InvalidDisk"
    assert "no/such name" in call("show", bad).stdout
    assert call("abort", good).exit_code == exits.CONFLICT
    assert [row.split("\t")[3] for row in call("log", good).stdout.splitlines()] == [
        f"a.img: 1,048,576 bytes, SHA-256 {shown_sha(call, good)}"
    ]


def shown_sha(call: Call, job_id: str) -> str:
    return str(found(call("show", job_id, "-j"))["result"]["sha256"])


def test_an_unknown_job_is_said_to_be_unknown(call: Call) -> None:
    result = call("history", "01900000-0000-7000-8000-000000000000")
    assert result.exit_code == exits.UNKNOWN
    assert "jobkit -A cli_shop list" in result.stderr


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://:wrong@{address}"])
def test_without_redis_it_says_so_in_bounded_time(
    url: str, jobkit_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = ModuleType("cli_shop")
    module.app = make_app(url.format(address=jobkit_store_url.rpartition("@")[2]))
    monkeypatch.setitem(sys.modules, "cli_shop", module)
    JobKit(module.app)
    began = time.monotonic()
    result = CliRunner().invoke(jobkit, ["-A", "cli_shop", "list"])
    assert result.exit_code == exits.UNAVAILABLE
    assert "127.0.0.1" in result.stderr
    assert "wrong" not in result.stderr.partition("WRONGPASS")[0], "passwords are not for the screen"
    assert "jobkit_backend" in result.stderr
    assert time.monotonic() - began < 15


def test_ctrl_c_ends_a_watch(jobkit_store_url: str, submit: Callable[..., str]) -> None:
    env = {**os.environ, **variables(jobkit_store_url)}
    command = [sys.executable, "-u", "-m", "jobkit.cli.main", "-A", "workers.app", "watch", submit(), "--json"]
    child = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["target"] == "QUEUED"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (exits.INTERRUPTED, "")


def test_the_installed_celery_has_the_commands() -> None:
    found = [entry for entry in entry_points(group="celery.commands") if entry.name == "jobs"]
    if not found:
        pytest.skip("celery-jobkit is not installed in this environment: make test installs it")
    assert found[0].load() is jobs
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers.app", "jobs", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "reschedule" in done.stdout


# -- definitions -------------------------------------------------------------------------------------------------------


def rows(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_a_definition_from_its_making_to_its_history(call: Call, kit: JobKit) -> None:
    made = call("define", "nightly", "--task", "small.add", "--schedule", "0 3 * * *", "--data", '{"a": 1}')
    assert rows(made) == [["nightly", "1"]]
    assert rows(call("define", "nightly", "--priority", "3", "--schedule", "1h30m", "--timezone", "Asia/Tokyo")) == [
        ["nightly", "2"]
    ]
    found = json.loads(call("definitions", "nightly", "--json").stdout)[0]
    assert (found["data"], found["priority"], found["schedules"]) == (
        {"a": 1},
        3,
        [{"every": 5400.0, "timezone": "Asia/Tokyo"}],
    )
    assert len(rows(call("schedule", "next", "nightly"))) == 10
    assert [row[:2] for row in rows(call("queue", "nightly", "--reason", "now"))] == [["queued", "@nightly"]]
    assert rows(call("queue", "nightly", "--within", "5m"))[0][0] == "joined"
    assert [row[:5] for row in rows(call("definitions"))] == [["QUEUED", "nightly", "", "small.add", "ENABLED"]]
    assert rows(call("pause", "nightly", "--reason", "closed")) == [["nightly", "closed"]]
    assert rows(call("definitions"))[0][8] == "closed"
    assert rows(call("resume", "nightly")) == [["nightly", ""]]
    assert rows(call("loglevel", "nightly", "debug", "--for", "1h")) == [["nightly", "DEBUG"]]
    assert rows(call("history", "nightly")) == []
    kit.store.claim("@nightly", 1, "t", "w1@host|b", 1, redelivered=False, plan=Plan("@nightly", "small.add", ""))
    end = End(("finish",), Outcome.PARTIALLY_SUCCEEDED, "2 of 3")
    kit.store.finish("@nightly", Settled(1, "t", "w1@host|b"), end)
    [row] = rows(call("history", "nightly", "--result", "partially_succeeded"))
    assert (row[1], row[4], row[5], row[7]) == ("PARTIALLY_SUCCEEDED", "1", "w1@host", "2 of 3")
    assert json.loads(call("history", "nightly", "--json").stdout)[0]["source"].endswith(": now")
    assert rows(call("history", "nightly", "--result", "FAILED")) == []
    assert rows(call("schedule", "last", "nightly")) == []
    filled = rows(call("schedule", "backfill", "nightly", "--from", "2026-01-01T00:00Z", "--to", "2026-01-01T03:00Z"))
    assert len(filled) == 2


def test_a_file_of_definitions_is_written_whole_or_not(call: Call, kit: JobKit, tmp_path: Path) -> None:
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps([{"id": "a", "task": "t.a", "schedule": 60}, {"id": "b", "task": "t.b", "grace": -1}]))
    assert call("define", "--file", str(path)).exit_code == exits.USAGE
    assert rows(call("definitions")) == []
    path.write_text(json.dumps([one.to_json() for one in (kit.definitions.made("a", task="t.a", schedule=60),)]))
    assert rows(call("define", "--file", str(path))) == [["a", "1"]]


def test_what_definitions_cannot_do_is_said(call: Call, kit: JobKit) -> None:
    kit.definitions.create("off", task="t.x", enabled="FULLY_DISABLED")
    missing = call("queue", "off", "nobody")
    assert missing.exit_code == exits.UNKNOWN
    assert "there is no definition nobody" in missing.stderr
    assert missing.stdout == "refused\t@off\tFULLY_DISABLED\n"
    assert call("queue", "off").exit_code == exits.CONFLICT
    assert call("define", "new").exit_code == exits.USAGE
    assert call("define").exit_code == exits.USAGE
    assert call("schedule", "backfill", "off").exit_code == exits.USAGE
    assert call("definitions", "nobody").exit_code == exits.UNKNOWN

"""Reading one job: whole, with a long past, by a newer jobkit, and where it cannot be read."""

from __future__ import annotations

import pytest

from jobkit.errors import BadRecord, JobUnknown
from jobkit.model import Failure, Job
from jobkit.states import Outcome, State
from jobkit.store import End, Settled, records
from tests.store.world import NOW, World, holder, reader, when


def test_a_long_history_loses_its_oldest_part_and_says_so(world: World) -> None:
    world.submit()
    for n in range(400):
        world.advance(1)
        world.store.change_start("j", world.now + 60_000, "client", f"the {n}th reason to wait")
    history = reader(world).history("j")
    assert history[0].seq > 1
    assert history[0].source is None
    assert [step.seq for step in history] == list(range(history[0].seq, 402))
    assert history[-1].reason == "the 399th reason to wait"
    assert len(world.record()["path"]) <= 16_384
    assert int(world.record()["seq"]) == 401
    world.check()


def test_runs_are_cut_from_the_history(world: World) -> None:
    for run in (1, 2, 3):
        world.submit()
        world.claim(run=run)
        world.store.finish("j", holder(run), End(("fail",), Outcome.FAILED))
    runs = reader(world).runs("j")
    assert [(run.number, run.state, len(run.path)) for run in runs] == [(n, State.ERROR, 3) for n in (1, 2, 3)]
    assert [run.path[0].source for run in runs] == [None] * 3


def test_nothing_is_known_of_a_job_that_never_was(world: World) -> None:
    client = reader(world)
    for ask in (client.get, client.history, client.runs, client.log, client.suspend, client.resume, client.abort):
        with pytest.raises(JobUnknown, match="no job nobody was ever recorded in namespace 'shop'"):
            ask("nobody")


def test_a_long_log_loses_its_oldest_lines(world: World) -> None:
    world.submit()
    world.claim()
    for number in range(1, 60):
        world.store.log("j", holder(), number, "INFO", f"{number} " + "x" * 1000)
    lines = reader(world).log("j")
    assert [int(line.message.split()[0]) for line in lines] == list(range(60 - len(lines), 60))
    assert len(world.record()["log"]) <= 32_768


def test_fields_of_a_newer_jobkit_are_kept_apart(world: World) -> None:
    world.submit()
    world.client.hset(world.keys.job("j"), mapping={"colour": "red", "shape": "\u2022"})
    assert reader(world).get("j").extra == {"colour": "red", "shape": "\u2022"}


def test_every_field_the_scripts_write_is_known(world: World) -> None:
    world.submit("before")
    given = {"queue": "q", "args": "a", "kwargs": "k", "root": "r", "parent": "p", "retries": 1}
    world.submit(after="before", owner="o", tags=("t",), start=NOW, facts=given)
    assert reader(world).get("before").extra == {}
    world.store.finish("before", Settled(None, "", "w|"), End(("?remove", "confirm_removal"), Outcome.REMOVED))
    world.claim()
    world.store.log("j", holder(), 1, "INFO", "line")
    world.store.write("j", holder(), {"progress": "[1]", "checkpoint": "1", "meta": "{}"})
    world.submit()
    assert reader(world).get("j").extra == {}
    for run in (1, 2):
        world.store.finish("j", holder(run), End(("fail",), Outcome.FAILED, "n", Failure("E", "m"), meta="{}"))
        assert reader(world).get("j").extra == {}
        world.claim(run=2)


BROKEN = {
    "state": ["LEVITATING", ""],
    "run": ["one", "1.5"],
    "submitted": ["yesterday", "9" * 30, "nan"],
    "since": ["x", "-" + "9" * 25],
    "start": ["soon", "1e9"],
    "started": ["x"],
    "ended": ["x", "9" * 17],
    "expires": ["x"],
    "pid": ["me"],
    "retries": ["many"],
    "outcome": ["MEH"],
    "failure": ["{", "5", '["a"]', "[1,2,3,4]", "null"],
    "progress": ["x", "7", "[]", '[1, 2, "", 4]'],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BROKEN.items() for value in values])
def test_a_field_that_cannot_be_read_is_named(world: World, field: str, value: str) -> None:
    world.submit()
    world.client.hset(world.keys.job("j"), field, value)
    with pytest.raises(BadRecord) as caught:
        reader(world).get("j")
    assert (caught.value.job_id, caught.value.field, caught.value.value) == ("j", field, value)


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "1\t1\tQUEUED",
        "1\t1\tLEVITATING\t0\top\tme\t",
        "a\t1\tQUEUED\t0\top\tme\t",
        f"1\t1\tQUEUED\t{'9' * 30}\top\tme\t",
        f"1\t1\tQUEUED\t{'9' * 17}\top\tme\t",
        "1\t1\tQUEUED\tnow\top\tme\t",
    ],
)
def test_a_path_that_cannot_be_read_is_named(world: World, line: str) -> None:
    world.submit()
    world.client.hset(world.keys.job("j"), "path", line + "\n")
    with pytest.raises(BadRecord) as caught:
        reader(world).history("j")
    assert (caught.value.job_id, caught.value.field) == ("j", "path")
    with pytest.raises(BadRecord):
        records.event("j", "\t" + line)


@pytest.mark.parametrize("line", ["x", "1\t1", "x\t1\tINFO\ttext", "1\tx\tINFO\ttext", f"{'9' * 30}\t1\tINFO\ttext"])
def test_a_log_that_cannot_be_read_is_named(world: World, line: str) -> None:
    world.submit()
    world.client.hset(world.keys.job("j"), "log", line + "\n")
    with pytest.raises(BadRecord) as caught:
        reader(world).log("j")
    assert (caught.value.job_id, caught.value.field) == ("j", "log")


def test_bytes_that_are_no_text_are_shown_as_such(world: World) -> None:
    world.submit()
    world.client.hset(world.keys.job("j"), "note", b"\xff\xfe")
    assert reader(world).get("j").message == "\ufffd\ufffd"


def test_a_job_is_read_whole(world: World) -> None:
    world.submit(owner="alice", tags=("red", "blue"), facts={"queue": "q", "args": "(1,)", "retries": 2})
    world.advance(5)
    world.claim()
    world.advance(5)
    end = End(("finish",), Outcome.PARTIALLY_SUCCEEDED, "3 skipped", meta='{"status": "SUCCESS", "result": 42}')
    world.store.finish("j", holder(), end)
    job = reader(world).get("j")
    assert job == Job(
        id="j",
        task="shop.pack",
        state=State.FINISHED,
        run=1,
        owner="alice",
        tags=("red", "blue"),
        queue="q",
        args="(1,)",
        retries=2,
        worker="w1@host",
        outcome=Outcome.PARTIALLY_SUCCEEDED,
        message="3 skipped",
        result=42,
        celery_status="SUCCESS",
        submitted_at=when(0),
        state_since=when(10),
        started_at=when(5),
        ended_at=when(10),
        expires_at=when(10 + 300_000),
    )

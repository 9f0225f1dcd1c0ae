"""Families with real workers: parents hold no slot, trees end as a whole, compensations survive kill -9."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import chain, chord
from click.testing import CliRunner

from jobkit import ChildFailed, InvalidOption, State
from jobkit.cli.main import jobkit
from jobkit.testing import WorkerProcess, eventually
from tests.acceptance.parents import gather
from tests.acceptance.trees import uproot

Start = Callable[..., WorkerProcess]
S = State


def lines(notes: Path, word: str) -> list[list[str]]:
    return [line.split()[1:] for line in notes.read_text().splitlines() if line.split()[0] == word]


def states(handle: Any) -> list[State]:
    return [step.target for step in handle.history()]


def test_three_levels_with_one_slot_all_finish(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    root = lifecycle.grows.delay(2, 2)
    start_worker(concurrency=1)
    assert root.get(timeout=30) == 2
    tree = lifecycle.jobs.tree(root.id)
    assert [depth for depth, _ in tree.walk()] == [0, 1, 2, 2, 1, 2, 2]
    assert {one.job.state for _, one in tree.walk()} == {S.FINISHED}
    assert states(root)[:3] == [S.QUEUED, S.RUNNING, S.CHILD_QUEUED]
    assert S.CHILD_RUNNING in states(root)
    assert not lines(notes, "undo")
    eventually(lambda: Counter(line[2] for line in lines(notes, "hook")) == {"FINISHED": 7})


def test_a_failed_child_fails_its_parent_which_says_which(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    handle = lifecycle.parent.delay(["well", "bad", "well"])
    with pytest.raises(ChildFailed, match="ValueError: child 1"):
        handle.get(timeout=20)
    job = handle.job
    bad = lifecycle.jobs.tree(handle.id).children[1].job
    assert (job.state, job.failed_child, bad.state) == (S.ERROR, bad.id, S.ERROR)
    assert job.failure.type == "ChildFailed"


def test_a_failed_child_may_be_ignored_and_its_result_is_none(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    start_worker()
    handle = lifecycle.parent.delay(["well", "bad", "well"], failure="ignore", then=True)
    assert handle.get(timeout=20) == "body done"
    assert lines(notes, "collected") == [["[0,", "None,", "2]"]]
    assert [one.job.task for one in lifecycle.jobs.tree(handle.id).children][3] == "lifecycle_app.collect"


def test_a_failed_child_may_abort_the_others(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker(concurrency=2)
    handle = lifecycle.parent.delay(["bad", "slow", "slow"], failure="abort_siblings")
    with pytest.raises(ChildFailed):
        handle.get(timeout=20)
    ends = [one.job.state for one in lifecycle.jobs.tree(handle.id).children]
    assert ends[0] is S.ERROR
    assert set(ends[1:]) <= {S.CANCELLED, S.REMOVED}


def test_a_parent_that_tries_again_does_only_what_failed(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    start_worker()
    handle = lifecycle.tries_again.delay()
    assert handle.get(timeout=20) == "done"
    assert (len(lines(notes, "child")), [run for _, run in lines(notes, "tried")]) == (1, ["1", "2"])
    assert handle.job.run == 2


def test_what_follows_a_parent_waits_for_its_children(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    start_worker(concurrency=2)
    links = chain(lifecycle.parent.s(["well", "well"]), lifecycle.collect.s()).delay()
    body = chord([lifecycle.parent.s(["well", "well"]), lifecycle.add.s(1, 1)], lifecycle.collect.s()).delay()
    assert links.get(timeout=20) == "body done"
    assert sorted(map(str, body.get(timeout=20))) == ["2", "body done"]
    first = links.parent.job
    assert first.ended_at >= max(
        one.job.ended_at for one in lifecycle.jobs.tree(first.id).children if one.kind == "child"
    )
    assert links.job.submitted_at >= max(
        one.job.ended_at for one in lifecycle.jobs.tree(first.id).children if one.kind == "child"
    )


def test_canvas_sent_inside_a_job_is_in_its_tree(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    handle = lifecycle.sends_canvas.delay()
    body = handle.get(timeout=20)
    assert lifecycle.app.AsyncResult(body).get(timeout=20) == [2, 4]
    tree = lifecycle.jobs.tree(handle.id)
    assert {(one.kind, one.job.task) for _, one in list(tree.walk())[1:]} == {
        ("canvas", "lifecycle_app.add"), ("canvas", "lifecycle_app.collect"),
    }  # fmt: skip


@pytest.mark.slow
def test_a_tree_of_a_hundred_aborted_at_its_root_ends_and_undoes_everything_once(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    start_worker(concurrency=2)
    found = uproot(lifecycle, notes, [9, 10])
    print(found)
    assert found.nodes == 100
    assert found.started_after == 0


def test_compensations_run_newest_first_and_one_that_fails_is_named(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    start_worker()
    handle = lifecycle.works.delay(3, fails=2)
    with pytest.raises(KeyError):
        handle.get(timeout=20)
    assert [step for _, step, _ in lines(notes, "undo")] == ["3", "2", "1"]
    job = handle.job
    assert states(handle) == [S.QUEUED, S.RUNNING, S.ROLLING_BACK, S.ERROR]
    (failed,) = job.failed_compensations
    assert lifecycle.jobs.get(failed).failure.message == "cannot undo 2"
    assert [one.kind for one in lifecycle.jobs.tree(handle.id).children] == ["compensation"] * 3
    eventually(lambda: lines(notes, "hook") == [[handle.id, "1", "ERROR", "FAILED"]])


@pytest.mark.parametrize("moment", range(4))
def test_a_rollback_survives_the_death_of_its_worker(
    lifecycle: ModuleType, start_worker: Start, notes: Path, moment: int
) -> None:
    doomed = start_worker(concurrency=1)
    handle = lifecycle.works.delay(3, 0.3, end="wait" if moment == 0 else "boom")
    if moment:
        eventually(lambda: len(lines(notes, "undo")) == moment, 20)
    else:
        eventually(lambda: len(lines(notes, "did")) == 3, 20)
    start_worker(concurrency=1)
    doomed.kill()
    eventually(lambda: not handle.job.is_live, 30)
    done = [int(step) for _, step in lines(notes, "undone")]
    # Whoever was killed had not said that it was done, or was done and said so: it is done once, or again.
    assert sorted(set(done)) == [1, 2, 3]
    assert [step for n, step in enumerate(done) if step not in done[:n]] == [3, 2, 1]
    assert handle.job.state is (S.ABORTED if moment == 0 else S.ERROR)
    assert handle.job.failed_compensations == ()


def test_success_discards_them(lifecycle: ModuleType, start_worker: Start, notes: Path) -> None:
    start_worker()
    assert lifecycle.works.delay(2, end="well").get(timeout=20) == "well"
    assert not lines(notes, "undo")
    assert not lifecycle.jobs.store.client.keys("*rollback*")


def test_a_parent_whose_worker_is_killed_mid_way_ends_with_its_children(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    doomed = start_worker(concurrency=2)
    handle = lifecycle.parent.delay(["slow"] + ["well"] * 20, failure="ignore")
    eventually(lambda: lines(notes, "child"), 20)
    start_worker(concurrency=2)
    doomed.kill()
    slow = eventually(lambda: [one.job for one in lifecycle.jobs.tree(handle.id).children if "slow" in one.job.args])[0]
    eventually(lambda: not lifecycle.jobs.get(slow.id).is_live, 20)
    assert handle.get(timeout=20) == "body done"


def test_a_parent_of_three_levels_on_one_slot_ends_though_its_worker_is_killed(
    lifecycle: ModuleType, start_worker: Start, notes: Path
) -> None:
    found = gather(lifecycle, notes, [3, 3], 1, lambda: start_worker(concurrency=1))
    print(found)
    assert found.waiting > 1


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_every_pool(lifecycle: ModuleType, start_worker: Start, pool: str) -> None:
    start_worker(pool=pool)
    assert lifecycle.grows.delay(1, 2).get(timeout=20) == 1
    with pytest.raises(KeyError):
        lifecycle.works.delay(1).get(timeout=20)


def test_only_single_tasks_and_known_policies(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    with pytest.raises(InvalidOption, match="failure"):
        lifecycle.parent.delay(["well"], failure="shrug").get(timeout=20)


def test_the_tree_for_asyncio_and_on_the_command_line(lifecycle: ModuleType, start_worker: Start) -> None:
    start_worker()
    handle = lifecycle.parent.delay(["well", "well"])
    handle.get(timeout=20)
    tree = asyncio.run(lifecycle.jobs.atree(handle.id))
    assert len(tree.children) == 2
    call = CliRunner().invoke(jobkit, ["-A", "lifecycle_app", "tree", handle.id, "-j"])
    assert [one["job"]["state"] for one in json.loads(call.stdout)["children"]] == ["FINISHED", "FINISHED"]
    rows = CliRunner().invoke(jobkit, ["-A", "lifecycle_app", "tree", handle.id]).stdout.splitlines()
    assert [row.split("\t")[0] for row in rows] == ["0", "1", "1"]

"""The benchmarks run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import features

ROOT = Path(__file__).parent.parent.parent


def run(module: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", module, *options], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_one_short_round_with_all_sides(tmp_path: Path) -> None:
    done = run("benchmarks", "--jobs=100", "--rounds=1", f"--json={tmp_path / 'result.json'}", "--only", "solo")
    assert done.returncode == 0, done.stderr
    assert "solo: throughput" in done.stdout
    figures = json.loads((tmp_path / "result.json").read_text())["figures"]
    assert len(figures) == 11
    assert all(figure["sides"]["jobkit"]["median"] > 0 for figure in figures.values())
    assert set(figures["solo rate"]["ratios"]) == {"celery", "bare"}


@pytest.mark.slow
def test_a_job_costs_no_more_commands_and_instructions_than_it_did() -> None:
    done = run("benchmarks.gate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("accepted") == 4


@pytest.mark.slow
def test_a_crowd_of_jobs_is_there_in_no_time_and_is_counted(tmp_path: Path) -> None:
    done = run("benchmarks.growth", "--live=4000", "--ended=3000", "--jobs=100", f"--json={tmp_path / 'growth.json'}")
    assert done.returncode in (0, 1), done.stderr
    few, live, ended = json.loads((tmp_path / "growth.json").read_text())
    assert [(place["live"], place["ended"]) for place in (few, live, ended)] == [(1000, 0), (4000, 0), (1000, 3000)]
    assert all(200 < place["bytes"][kind] < 5000 for place in (few, live, ended) for kind in ("queued", "running"))
    assert 200 < ended["bytes"]["ended"] < 5000
    assert all(cost > 0 for place in (few, live, ended) for cost in place["micros"]["finish"])


def test_too_few_jobs_are_refused() -> None:
    done = run("benchmarks", "--jobs", "5")
    assert done.returncode == 2
    assert "--jobs 5 --rounds 5: at least 100 jobs and 1 round are needed" in done.stderr


def test_a_plain_job_costs_the_same_commands_among_those_that_use_more() -> None:
    alone, among, *others = features.rounds(1)
    assert [step.commands for step in among] == [step.commands for step in alone]
    plain = sum(step.commands for step in alone)
    assert all(sum(step.commands for step in steps) > plain for steps in others)


def test_what_each_script_costs(tmp_path: Path) -> None:
    """The scripts of one job are found in what was sent, and those the store's tests know can be called, too."""
    options = ["--jobs=100", "--only", "look", f"--json={tmp_path / 'verbs.json'}"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.verbs", *options], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    costs = {cost["name"]: cost for cost in json.loads((tmp_path / "verbs.json").read_text())}
    assert {"submit", "claim", "finish", "look"} <= set(costs)
    inside = costs["submit"]["spent"]["inside"]
    assert all(inside[name][0] == 1 for name in ("time", "exists", "hset", "zadd", "publish"))
    assert 0 < sum(micros for _, micros in inside.values()) < costs["submit"]["spent"]["micros"]

"""The benchmarks run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_one_short_round_with_all_sides(tmp_path: Path) -> None:
    options = ["--jobs=100", "--rounds=1", f"--json={tmp_path / 'result.json'}", "--only", "solo", "commands"]
    done = subprocess.run([sys.executable, "-m", "benchmarks", *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "solo: throughput" in done.stdout
    figures = json.loads((tmp_path / "result.json").read_text())["figures"]
    assert len(figures) == 13
    sent, inside = figures["commands sent"]["sides"], figures["commands in scripts"]["sides"]
    assert 17 < sent["celery"]["median"] < 19
    assert inside["celery"]["median"] == 0 < inside["jobkit"]["median"]
    assert set(figures["solo rate"]["ratios"]) == {"celery", "bare"}
    assert all(figure["sides"]["jobkit"]["median"] > 0 for figure in figures.values())


def test_too_few_jobs_are_refused() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--jobs", "5"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--jobs 5 --rounds 5: at least 100 jobs and 1 round are needed" in done.stderr


def test_what_each_script_costs(tmp_path: Path) -> None:
    """The scripts of one job are found in what was sent, and those the store's tests know can be called, too."""
    options = ["--jobs=100", "--only", "look", f"--json={tmp_path / 'verbs.json'}"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.verbs", *options], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    costs = {cost["name"]: cost for cost in json.loads((tmp_path / "verbs.json").read_text())}
    assert {"create", "claim", "finish", "look"} <= set(costs)
    inside = costs["create"]["spent"]["inside"]
    assert all(inside[name][0] == 1 for name in ("time", "hmget", "zadd", "publish"))
    assert 0 < sum(micros for _, micros in inside.values()) < costs["create"]["spent"]["micros"]

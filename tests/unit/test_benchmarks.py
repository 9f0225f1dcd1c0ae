"""The arithmetic of the benchmarks."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from benchmarks.counters import Snapshot, Stamps
from benchmarks.report import compare, document, table


def test_a_rate_leaves_the_warm_up_out(tmp_path: Path) -> None:
    stamps = Stamps(tmp_path / "stamps")
    assert stamps.count() == 0
    times = [-50.0, *(number / 100 for number in range(99))]
    stamps.path.write_bytes(struct.pack("100d", *reversed(times)))
    assert stamps.count() == 100
    assert round(stamps.rate(), 6) == 100.0


def test_costs_are_per_job_between_two_moments() -> None:
    first, last = Snapshot(10, 100, 1.0, 2.0), Snapshot(110, 1500, 1.01, 2.1)
    costs = first.per_job(last)
    assert {name: round(value, 6) for name, value in costs.items()} == {
        "commands": 14.0,
        "redis_cpu": 100.0,
        "worker_cpu": 1000.0,
    }


def test_ratios_are_those_of_each_round_and_a_verdict_needs_all_of_five() -> None:
    celery = {"prefork rate": [100.0, 200.0, 100.0, 100.0, 100.0], "memory": [10.0] * 5, "solo rate": [1.0] * 5}
    jobkit = {
        "prefork rate": [110.0, 210.0, 120.0, 110.0, 110.0],
        "memory": [20.0] * 5,
        "solo rate": [2.0, 0.5] * 2 + [1.0],
    }
    rate, solo, memory = compare(celery, jobkit)
    assert (rate.first.median, rate.first.spread, rate.second.median) == (100.0, 1.0, 110.0)
    assert (rate.ratio, rate.ratio_low, rate.ratio_high) == (1.1, 1.05, 1.2)

    head, *lines = table([rate, solo, memory], ("celery", "jobkit")).splitlines()
    assert head.split() == ["celery", "spread", "jobkit", "spread", "ratio", "of", "rounds"]
    assert lines[0].split()[-5:] == ["1.10", "1.05", "to", "1.20", "better"]
    assert lines[1].split()[-4:] == ["1.00", "0.50", "to", "2.00"]
    assert lines[2].split()[-5:] == ["2.00", "2.00", "to", "2.00", "worse"]

    two_rounds = compare({"memory": [10.0, 10.0]}, {"memory": [20.0, 20.0]})
    assert table(two_rounds, ("celery", "jobkit")).endswith("2.00 to 2.00")


def test_nothing_on_the_first_side_has_no_ratio_and_the_document_is_json() -> None:
    compared = compare({"commands in scripts": [0.0]}, {"commands in scripts": [31.0]})
    assert compared[0].ratio is None
    written = json.loads(json.dumps(document(compared, {"jobs": 100})))
    figure = written["figures"]["commands in scripts"]
    assert (figure["row"]["unit"], figure["second"]["values"], figure["ratio"]) == ("per job", [31.0], None)
    assert written["environment"]["celery"]

"""The arithmetic of the benchmarks."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import page, peers, plot
from benchmarks.counters import Snapshot, Stamps
from benchmarks.gate import judged as judged_by_gate
from benchmarks.peers.measure import BULK
from benchmarks.peers.measure import ROWS as PEER_ROWS
from benchmarks.peers.table import PEERS, Peer
from benchmarks.report import Ratio, compare, compared, document, judged, loaded, table
from benchmarks.rows import Row

FOLDER = Path(peers.__file__).parent
SIDES = ("celery", "jobkit")


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
    rate, solo, memory = compare(two(celery, jobkit), SIDES)
    assert (rate.sides["celery"].median, rate.sides["celery"].spread, rate.sides["jobkit"].median) == (
        100.0,
        1.0,
        110.0,
    )
    assert rate.ratios == {"celery": Ratio(1.1, 1.05, 1.2)}

    head, *lines = table([rate, solo, memory], SIDES).splitlines()
    assert head.split() == ["celery", "spread", "jobkit", "spread", "ratio", "of", "rounds", "goal"]
    assert lines[0].split()[-8:] == ["1.10", "1.05", "to", "1.20", "better", ">=", "2", "MISSED"]
    assert lines[1].split()[-7:] == ["1.00", "0.50", "to", "2.00", ">=", "2.5", "MISSED"]
    assert lines[2].split()[-5:] == ["2.00", "2.00", "to", "2.00", "worse"]

    two_rounds = compare(two({"memory": [10.0, 10.0]}, {"memory": [20.0, 20.0]}), SIDES)
    assert table(two_rounds, SIDES).endswith("2.00 to 2.00")


def test_goals_are_ratios_to_a_side_or_figures() -> None:
    row = Row("speed", "speed", "jobs/s", True, {"celery": 2.0, "bare": 1.3})
    values = {"celery": [100.0], "bare": [200.0], "jobkit": [210.0]}
    item = compared(row, values, ("celery", "bare", "jobkit"))
    assert (judged(item, "celery"), judged(item, "bare"), judged(item, "")) == (">= 2 met", ">= 1.3 MISSED", "")
    size = compared(Row("size", "size", "B", goals={"": 1_500}), {"celery": [1.0], "jobkit": [1_500.0]}, SIDES)
    assert judged(size, "") == "<= 1,500 met"
    alone = compared(row, {"celery": [100.0], "jobkit": [210.0]}, ("celery", "bare", "jobkit"))
    assert (judged(alone, "celery"), judged(alone, "bare")) == (">= 2 met", "")


def test_nothing_on_the_first_side_has_no_ratio_and_the_document_is_json() -> None:
    compared = compare(two({"commands in scripts": [0.0]}, {"commands in scripts": [31.0]}), SIDES)
    assert compared[0].ratios == {}
    written = json.loads(json.dumps(document(compared, {"jobs": 100})))
    figure = written["figures"]["commands in scripts"]
    assert (figure["row"]["unit"], figure["sides"]["jobkit"]["values"], figure["ratios"]) == ("per job", [31.0], {})
    assert written["environment"]["celery"]


def test_what_was_written_is_read_again_and_becomes_a_page_and_a_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    names, queues = ("celery", "bare", "jobkit"), ("celery", "jobkit", "saq")
    compared = compare({"solo rate": {"celery": [100.0], "bare": [200.0], "jobkit": [250.0]}}, names)
    figures = {row.figure: {queue: [10.0] for queue in queues} for row in PEER_ROWS}
    facts = {
        "at": "today", "rounds": 1, "jobs": 100, "server": "Redis 7", "processors": 2, "others": 0.5, "sides": queues,
        "settings": dict.fromkeys(queues, "as it comes"),
    }  # fmt: skip
    written = {"": document(compared, facts), "peers": document(compare(figures, queues, PEER_ROWS), facts)}
    written = json.loads(json.dumps(written))
    assert loaded(written[""]) == compared
    for module in (page, plot):
        monkeypatch.setattr(module, "released", lambda kind="": written.get(kind))
    text = "\n".join(page.page())
    assert (
        "| solo: throughput | jobs/s | 100 ±0% | 200 ±0% | 250 ±0% | 2.50 (2.50 to 2.50) | >= 2.5 met | 1.25 |" in text
    )
    assert "Other programs kept 0.5 of 2 processors busy" in text
    assert "| saq | 10.0 | 10.0 |" in text
    drawing = ElementTree.fromstring(plot.plot())
    assert len([part for part in drawing.iter() if part.tag.endswith("rect")]) == 1 + 1 + 3 * len(queues)


def test_the_documents_show_the_figures_that_are_kept() -> None:
    docs = Path(peers.__file__).parent.parent.parent / "docs"
    assert (docs / "benchmarks.md").read_text("utf-8") == page.text(), "docs/benchmarks.md is out of date: make docs"
    assert (docs / "benchmarks.svg").read_text("utf-8") == plot.plot(), "docs/benchmarks.svg is out of date: make docs"


def two(celery: dict[str, list[float]], jobkit: dict[str, list[float]]) -> dict[str, dict[str, list[float]]]:
    return {figure: {"celery": celery[figure], "jobkit": jobkit[figure]} for figure in celery}


def test_the_gate_lets_no_command_more_and_hardly_a_bytecode_more_pass() -> None:
    accepted = {"commands sent": 16.0, "delay() bytecodes": 1.0}
    for bytecodes, verdict in ((1.019, ""), (1.03, "worse")):
        found = judged_by_gate({"delay() bytecodes": bytecodes}, accepted, same_python=True)
        assert found == {"delay() bytecodes": verdict}
    found = judged_by_gate({"commands sent": 17.0, "delay() bytecodes": 1.05}, accepted, same_python=False)
    assert found == {"commands sent": "worse", "delay() bytecodes": ""}
    assert judged_by_gate({"commands sent": 15.0}, accepted, same_python=True) == {"commands sent": "better"}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_other_queues_are_pinned_and_have_a_file(peer: Peer) -> None:
    assert all("==" in requirement for requirement in peer.requirements)
    text = (FOLDER / f"{peer.name}.py").read_text()
    assert "def submit(task: str, jobs: int)" in text
    assert ("def bulk(task: str, jobs: int)" in text) == (peer.name in BULK)

"""``python -m benchmarks.peers``: plain Celery, jobkit and six other queues, each at its best, on the same Redis."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence

from benchmarks.counters import Neighbours
from benchmarks.facts import RESULTS, about, disturbed, kept
from benchmarks.peers.measure import ROWS, SIDES, measure
from benchmarks.peers.table import PEERS
from benchmarks.report import Compared, aligned, compared, document, number, ratio
from benchmarks.rows import Row
from benchmarks.stage import BenchmarkFailed
from jobkit.errors import JobkitError

Figures = dict[str, dict[str, list[float]]]  #: by figure, then by side, a value a round


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, turn by turn; print the table, write the JSON."""
    options = _options(arguments)
    neighbours = Neighbours()
    try:
        facts = about(options.jobs, options.rounds, options.only)
        figures = _rounds(options.only, options.jobs, options.rounds)
    except (BenchmarkFailed, JobkitError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    facts["others"] = round(neighbours.processors(), 2)
    facts["settings"] = {"celery": "prefork -c 2", "jobkit": "prefork -c 2"} | {
        peer.name: f"{peer.requirements[0]}: {peer.setting}" for peer in PEERS if peer.name in options.only
    }
    print(table(figures, options.only))
    print(disturbed(facts))
    found = [compared(row, figures[row.figure], options.only) for row in ROWS if row.figure in figures]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document(found, facts), indent=2, ensure_ascii=False) + "\n")
    print(f"written: {options.json}", file=sys.stderr)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2_000, help="no-op jobs per measurement (default 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, each with all queues (default 5)")
    parser.add_argument("--only", nargs="+", choices=SIDES, default=SIDES, help="a selection; the first is the measure")
    kept(parser, "peers", RESULTS / "peers.json")
    return parser.parse_args(arguments)


def _rounds(sides: Sequence[str], jobs: int, rounds: int) -> Figures:
    figures: Figures = defaultdict(lambda: defaultdict(list))
    for turn in range(rounds):
        for side in sides if turn % 2 == 0 else list(reversed(sides)):
            print(f"round {turn + 1} of {rounds}: {side}", file=sys.stderr, flush=True)
            for figure, value in measure(side, jobs).items():
                figures[figure][side].append(value)
    return figures


def table(figures: Mapping[str, Mapping[str, Sequence[float]]], sides: Sequence[str]) -> str:
    """A line for each queue; behind each rate what it is to the first one's, and its spread."""
    rows = [row for row in ROWS if row.figure in figures]
    head, units = ["", ""], ["", ""]
    for row in rows:
        head += [row.title, "", ""]
        units += [row.unit, f"to {sides[0]}", ""]
    return aligned([head, units, *([side, "", *_cells(rows, figures, side, sides[0])] for side in sides)])


def _cells(
    rows: Sequence[Row], figures: Mapping[str, Mapping[str, Sequence[float]]], side: str, first: str
) -> list[str]:
    cells: list[str] = []
    for row in rows:
        values = figures[row.figure]
        # What has no bulk is compared by what it has.
        base = values.get(first) or figures["submit"][first]
        if side not in values:
            cells += ["", "", ""]
            continue
        item: Compared = compared(row, values, [side])
        found = ratio(base, values[side])
        cells += [number(item.sides[side].median), f"{found.median:.2f}" if found else ""]
        cells.append(f"±{item.sides[side].spread / 2:.0%}")
    return cells


if __name__ == "__main__":
    sys.exit(main())

"""``python -m benchmarks``: plain Celery against jobkit, both in this run, turn by turn."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.counters import Neighbours
from benchmarks.facts import RESULTS, about, disturbed, kept
from benchmarks.measure import ALL, MEASUREMENTS
from benchmarks.report import Compared, compare, document, table
from benchmarks.stage import BenchmarkFailed
from jobkit.errors import JobkitError

LATEST = RESULTS / "latest.json"

Figures = dict[str, dict[str, list[float]]]  #: by figure, then by side, a value a round


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table on stdout, write the JSON; progress goes to stderr."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    neighbours, started = Neighbours(), time.monotonic()
    try:
        facts = about(options.jobs, options.rounds, _sides(options))
        figures = _rounds(options)
    except (BenchmarkFailed, JobkitError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    facts |= {"seconds": round(time.monotonic() - started), "others": round(neighbours.processors(), 2)}
    _publish(compare(figures, facts["sides"]), facts, options.json)
    return 0


def _publish(compared: Sequence[Compared], facts: dict[str, Any], path: Path) -> None:
    print(table(compared, facts["sides"]))
    print(disturbed(facts))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(compared, facts), indent=2, ensure_ascii=False) + "\n")
    print(f"written: {path}", file=sys.stderr)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt  # so that the worker and the Redis of the moment are stopped


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--jobs", type=int, help="no-op jobs per measurement (default 5000; with --quick 1000)")
    parser.add_argument("--rounds", type=int, help="rounds, each with all sides (default 5; with --quick 3)")
    parser.add_argument("--quick", action="store_true", help="a rough answer in about six minutes")
    parser.add_argument(
        "--only", nargs="+", choices=tuple(MEASUREMENTS), default=tuple(MEASUREMENTS), help="a selection"
    )
    parser.add_argument(
        "--noise", action="store_true", help="plain Celery on both sides: how far ratios stray by chance"
    )
    kept(parser)
    options = parser.parse_args(arguments)
    options.jobs = (1000 if options.quick else 5000) if options.jobs is None else options.jobs
    options.rounds = (3 if options.quick else 5) if options.rounds is None else options.rounds
    options.json = options.json or (RESULTS / "noise.json" if options.noise else LATEST)
    if options.jobs < 100 or options.rounds < 1:
        parser.error(f"--jobs {options.jobs} --rounds {options.rounds}: at least 100 jobs and 1 round are needed")
    return options


def _sides(options: argparse.Namespace) -> tuple[str, ...]:
    """The side in question comes last."""
    return ("celery", "celery again") if options.noise else ALL


def _rounds(options: argparse.Namespace) -> Figures:
    figures: Figures = defaultdict(lambda: defaultdict(list))
    for number in range(options.rounds):
        for name in options.only:
            sides = [s for s in _sides(options) if options.noise or s in MEASUREMENTS[name].sides]
            # Who goes first changes with the round, so that a machine that slows down favours no side.
            for side in sides if number % 2 == 0 else reversed(sides):
                print(f"round {number + 1} of {options.rounds}: {name}, {side}", file=sys.stderr, flush=True)
                for figure, value in MEASUREMENTS[name].run(side, options.jobs).items():
                    figures[figure][side].append(value)
    return figures


if __name__ == "__main__":
    sys.exit(main())

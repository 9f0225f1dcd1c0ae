"""From figures of many rounds to one table for people and one JSON document for machines."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.rows import ROWS, Row

ROUNDS_FOR_A_VERDICT = 5  # by chance alone all five fall on one side once in sixteen times

#: The values of a figure on a side, one a round.
Values = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Side:
    """One side's values of a figure, one per round, their median, and their spread: (max - min) / median."""

    values: tuple[float, ...]
    median: float
    spread: float


@dataclass(frozen=True)
class Ratio:
    """What the side in question is to another one: the median of the ratios of each round, and their range."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared:
    """A figure of all sides that have it; `ratios` of the last side to each of the others."""

    row: Row
    sides: dict[str, Side]
    ratios: dict[str, Ratio]


def compare(figures: Mapping[str, Values], names: Sequence[str], rows: Sequence[Row] = ROWS) -> list[Compared]:
    """Every figure that is there, by figure and side, in the order of `rows`; the last of `names` is in question."""
    return [compared(row, figures[row.figure], names) for row in rows if row.figure in figures]


def compared(row: Row, values: Values, names: Sequence[str]) -> Compared:
    """One figure."""
    sides = {name: _side(values[name]) for name in names if name in values}
    last = values.get(names[-1], ())
    found = {name: ratio(values[name], last) for name in names[:-1] if name in values}
    return Compared(row, sides, {name: each for name, each in found.items() if each})


def ratio(first: Sequence[float], second: Sequence[float]) -> Ratio | None:
    """The second side to the first, round by round."""
    found = [b / a for a, b in zip(first, second, strict=True) if a > 0]
    return Ratio(statistics.median(found), min(found), max(found)) if found else None


def _side(values: Sequence[float]) -> Side:
    median = statistics.median(values)
    return Side(tuple(values), median, (max(values) - min(values)) / median if median else 0.0)


def table(compared: Sequence[Compared], names: Sequence[str]) -> str:
    """The table, aligned: a title and a unit, for each side median and spread, the ratios, and what they are to be."""
    head = ["", "", *(text for name in names for text in (name, "spread")), "ratio", "of rounds", "", "goal"]
    others = names[1:-1]
    head += [text for name in others for text in (f"to {name}", "goal")]
    lines = [tuple(head), *(_line(item, names, others) for item in compared)]
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells, the first two columns to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _line(item: Compared, names: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    cells = [item.row.title, item.row.unit]
    for name in names:
        side = item.sides.get(name)
        cells += (number(side.median), f"±{side.spread / 2:.0%}") if side else ("", "")
    first = item.ratios.get(names[0])
    cells += (f"{first.median:.2f}", span(first), _verdict(item, first)) if first else ("", "", "")
    cells.append(judged(item, names[0]) or judged(item, ""))
    for name in others:
        found = item.ratios.get(name)
        cells += (f"{found.median:.2f}" if found else "", judged(item, name))
    return tuple(cells)


def span(found: Ratio) -> str:
    """The range of a ratio."""
    return f"{found.low:.2f} to {found.high:.2f}"


def number(value: float) -> str:
    """A figure with three digits that count, or all there are before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def judged(item: Compared, to: str) -> str:
    """What the ratio to that side, or with "" the figure itself, is to be, and whether it is."""
    goal = item.row.goals.get(to)
    last = list(item.sides.values())[-1].median if item.sides else None
    found = last if to == "" else item.ratios[to].median if to in item.ratios else None
    if goal is None or found is None:
        return ""
    sign, met = (">=", found >= goal) if item.row.more_is_better else ("<=", found <= goal)
    return f"{sign} {goal:,g} {'met' if met else 'MISSED'}"


def _verdict(item: Compared, found: Ratio) -> str:
    """Better or worse, said only where every one of at least five rounds says so, by a hundredth or more."""
    if min(len(side.values) for side in item.sides.values()) < ROUNDS_FOR_A_VERDICT:
        return ""
    if found.low < 1.005 and found.high > 0.995:
        return ""
    return "better" if (found.low > 1.0) == item.row.more_is_better else "worse"


def document(compared: Sequence[Compared], about: dict[str, Any]) -> dict[str, Any]:
    """What is written as JSON: what was run, on what, and every value of every round."""
    rows = [asdict(item) for item in compared]
    return {
        "benchmark": about,
        "environment": environment(),
        "figures": {row["row"].pop("figure"): row for row in rows},
    }


def environment() -> dict[str, Any]:
    """Versions and machine, as far as a figure depends on them."""
    packages = ("celery", "kombu", "redis", "hiredis", "celery-jobkit")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def loaded(written: Mapping[str, Any]) -> list[Compared]:
    """What `document` wrote, as it was."""
    return [
        Compared(
            Row(figure, **one["row"]),
            {name: Side(**side | {"values": tuple(side["values"])}) for name, side in one["sides"].items()},
            {name: Ratio(**found) for name, found in one["ratios"].items()},
        )
        for figure, one in written["figures"].items()
    ]

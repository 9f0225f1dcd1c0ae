"""From figures of many rounds to one table for people and one JSON document for machines."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

ROUNDS_FOR_A_VERDICT = 5  # by chance alone all five fall on one side once in sixteen times


@dataclass(frozen=True)
class Row:
    """One figure: how it is called, its unit, and whether more of it is better."""

    figure: str
    title: str
    unit: str
    more_is_better: bool = False


ROWS = (
    Row("prefork rate", "prefork -c 2: throughput", "jobs/s", more_is_better=True),
    Row("prefork worker CPU", "prefork -c 2: worker CPU", "µs/job"),
    Row("prefork Redis CPU", "prefork -c 2: Redis CPU", "µs/job"),
    Row("prefork commands", "prefork -c 2: Redis commands", "per job"),
    Row("solo rate", "solo: throughput", "jobs/s", more_is_better=True),
    Row("solo worker CPU", "solo: worker CPU", "µs/job"),
    Row("solo Redis CPU", "solo: Redis CPU", "µs/job"),
    Row("solo commands", "solo: Redis commands", "per job"),
    Row("submit rate", "delay(): throughput", "jobs/s", more_is_better=True),
    Row("submit CPU", "delay(): client CPU", "µs/job"),
    Row("submit Redis CPU", "delay(): Redis CPU", "µs/job"),
    Row("submit commands", "delay(): Redis commands", "per job"),
    Row("latency p50", "delay() to get(): p50", "ms"),
    Row("latency p99", "delay() to get(): p99", "ms"),
    Row("commands sent", "delay() to get(): commands sent", "per job"),
    Row("commands in scripts", "delay() to get(): commands in scripts", "per job"),
    Row("memory", "memory kept after the end", "B/job"),
    Row("keys", "of it keys and values", "B/job"),
)


@dataclass(frozen=True)
class Side:
    """One side's values of a figure, one per round, their median, and their spread: (max - min) / median."""

    values: tuple[float, ...]
    median: float
    spread: float


@dataclass(frozen=True)
class Compared:
    """A figure of both sides; `ratio` is the median of the ratios of each round, second side to first."""

    row: Row
    first: Side
    second: Side
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None


def compare(first: dict[str, list[float]], second: dict[str, list[float]]) -> list[Compared]:
    """Every figure both sides have, in the order of `ROWS`."""
    return [_compared(row, first[row.figure], second[row.figure]) for row in ROWS if row.figure in first]


def _compared(row: Row, first: Sequence[float], second: Sequence[float]) -> Compared:
    ratios = [b / a for a, b in zip(first, second, strict=True) if a]
    middle = statistics.median(ratios) if ratios else None
    return Compared(row, _side(first), _side(second), middle, min(ratios, default=None), max(ratios, default=None))


def _side(values: Sequence[float]) -> Side:
    median = statistics.median(values)
    return Side(tuple(values), median, (max(values) - min(values)) / median if median else 0.0)


def table(compared: Sequence[Compared], names: tuple[str, str]) -> str:
    """The table, aligned: a title and a unit, then for each side median and spread, then the ratio and its range."""
    lines: list[tuple[str, ...]] = [("", "", names[0], "spread", names[1], "spread", "ratio", "of rounds", "")]
    lines += [_line(item) for item in compared]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = (
        cell.ljust(width) if index < 2 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def _line(item: Compared) -> tuple[str, ...]:
    sides = (text for side in (item.first, item.second) for text in (_number(side.median), f"±{side.spread / 2:.0%}"))
    return (item.row.title, item.row.unit, *sides, _ratio(item.ratio), _range(item), _verdict(item))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _range(item: Compared) -> str:
    return f"{_ratio(item.ratio_low)} to {_ratio(item.ratio_high)}" if item.ratio is not None else ""


def _verdict(item: Compared) -> str:
    """Better or worse, said only where every one of at least five rounds says so, by a hundredth or more."""
    if item.ratio_low is None or item.ratio_high is None or len(item.first.values) < ROUNDS_FOR_A_VERDICT:
        return ""
    if item.ratio_low < 1.005 and item.ratio_high > 0.995:
        return ""
    return "better" if (item.ratio_low > 1.0) == item.row.more_is_better else "worse"


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

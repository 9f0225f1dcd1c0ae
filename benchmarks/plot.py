"""``python -m benchmarks.plot > docs/benchmarks.svg``: the figures of a release as bars."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.facts import released
from benchmarks.report import loaded, number

WIDTH, LABELS, ROW, BAR = 760, 250, 22, 13  #: pixels
LOW, HIGH = 0.25, 64.0  #: the ends of the axis of ratios
RATES = {"drain": "Jobs a second: drained", "submit": "submitted one by one", "bulk": "submitted in bulk"}
GREEN, AMBER, GREY, INK = "#2e7d52", "#c77c11", "#8a94a0", "#1d2530"

STYLE = f"""<style>
text {{ font: 12px system-ui, sans-serif; fill: {INK} }}
.title {{ font-size: 14px; font-weight: 600 }}
.axis {{ stroke: {INK}; stroke-width: 1 }}
.goal {{ stroke: {INK}; stroke-width: 2; stroke-dasharray: 2 1 }}
</style>"""


@dataclass(frozen=True)
class Bar:
    """From where to where it goes, as parts of the width there is; its colour, what stands beside it, its goal."""

    label: str
    start: float
    end: float
    colour: str
    text: str
    goal: float | None = None


def ratios(written: Mapping[str, Any]) -> list[Bar]:
    """Of each figure that has a goal, what jobkit is to plain Celery."""
    bars = []
    for item in loaded(written):
        found, goal = item.ratios.get("celery"), item.row.goals.get("celery")
        if not found or goal is None:
            continue
        met = found.median >= goal if item.row.more_is_better else found.median <= goal
        start, end = sorted((_place(1.0), _place(found.median)))
        text = f"{found.median:.2f}  ({found.low:.2f} to {found.high:.2f})"
        bars.append(Bar(item.row.title, start, end, GREEN if met else AMBER, text, _place(goal)))
    return bars


def rates(written: Mapping[str, Any], figure: str) -> list[Bar]:
    """Jobs a second of each queue, the fastest first."""
    (item,) = (each for each in loaded(written) if each.row.figure == figure)
    found = sorted(((side.median, name) for name, side in item.sides.items()), reverse=True)
    most = found[0][0]
    return [Bar(name, 0, 0.8 * rate / most, GREEN if name == "jobkit" else GREY, number(rate)) for rate, name in found]


def _place(value: float) -> float:
    return (math.log(min(max(value, LOW), HIGH)) - math.log(LOW)) / (math.log(HIGH) - math.log(LOW)) * 0.8


def drawn(charts: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """The charts, one below the other."""
    lines, top = [], 10
    for title, bars in charts:
        lines += [f'<text class="title" x="10" y="{top + 14}">{escape(title)}</text>']
        top += 26
        for bar in bars:
            lines += _row(bar, top)
            top += ROW
        if any(bar.goal for bar in bars):
            x = LABELS + _place(1.0) * (WIDTH - LABELS)
            lines += [f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top - ROW * len(bars) - 4}" y2="{top}"/>']
        top += 16
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}">'
    return "\n".join([head, STYLE, '<rect width="100%" height="100%" fill="#fff"/>', *lines, "</svg>"]) + "\n"


def _row(bar: Bar, top: int) -> Iterator[str]:
    room = WIDTH - LABELS
    left, right = (LABELS + part * room for part in (bar.start, bar.end))
    yield f'<text x="{LABELS - 8}" y="{top + 11}" text-anchor="end">{escape(bar.label)}</text>'
    size = f'width="{max(1.0, right - left):.1f}" height="{BAR}"'
    yield f'<rect x="{left:.1f}" y="{top}" {size} rx="2" fill="{bar.colour}"/>'
    after = right
    if bar.goal is not None:
        x = LABELS + bar.goal * room
        yield f'<line class="goal" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}" y2="{top + BAR + 3}"/>'
        after = max(right, x)
    yield f'<text x="{after + 6:.1f}" y="{top + 11}">{escape(bar.text)}</text>'


def plot() -> str:
    """All that is kept of the newest release."""
    charts: list[tuple[str, Sequence[Bar]]] = []
    if written := released():
        charts.append(("jobkit to plain Celery (the line: 1.00; dashed: the goal; logarithmic)", ratios(written)))
    if written := released("peers"):
        charts += [(title, rates(written, figure)) for figure, title in RATES.items()]
    return drawn(charts)


if __name__ == "__main__":
    sys.stdout.write(plot())

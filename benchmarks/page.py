"""``python -m benchmarks.page > docs/benchmarks.md``: the figures of the newest release that has some, to be read."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.facts import DISTURBED, released
from benchmarks.report import Compared, judged, loaded, number, span

KINDS = ("", "peers", "growth", "verbs")
STATES = ("queued", "running", "ended")
HEAD = """<!-- Made by `make docs` from benchmarks/results. -->
# Benchmarks

Plain Celery and jobkit run the same tasks on the same Redis in the same run, turn by turn; how is told in
[benchmarks/README.md](../benchmarks/README.md). A job without a body shows what the machinery costs; one of 10 ms
what is left of that beside real work. Rates differ from machine to machine, ratios much less.
"""
PLOT = "![Figures of jobkit and other queues, as bars](benchmarks.svg)\n"


def page() -> Iterator[str]:
    """The document, in pieces."""
    yield HEAD
    if released() or released("peers"):
        yield PLOT
    if not any(map(released, KINDS)):
        yield "No figures are kept yet: `make figures` measures them."
    if written := released():
        yield "## Beside plain Celery\n"
        yield _conditions(written) + "\n"
        yield from _comparison(loaded(written))
    if written := released("peers"):
        yield "## Beside other queues\n"
        yield _conditions(written) + "\n"
        yield from _peers(loaded(written), written["benchmark"])
    if written := released("growth"):
        yield "## Beside a million jobs\n"
        yield from _growth(written)
    if written := released("verbs"):
        yield "## In Redis\n"
        yield from _verbs(written)


def _conditions(written: Mapping[str, Any]) -> str:
    facts, found = written["benchmark"], written["environment"]
    text = "{rounds} rounds of {jobs:,} no-op jobs, {at}; {server}, {processors} processors".format(**facts)
    text += ", Python {python}, Celery {celery}, redis-py {redis}. Medians; ± half the spread.".format(**found)
    if facts["others"] > DISTURBED:
        text += " **Other programs kept {others} of {processors} processors busy meanwhile.**".format(**facts)
    return text


def _comparison(items: Sequence[Compared]) -> Iterator[str]:
    rows = []
    for item in items:
        side = {name: f"{number(one.median)} ±{one.spread / 2:.0%}" for name, one in item.sides.items()}
        found, bare = item.ratios.get("celery"), item.ratios.get("bare")
        goal = judged(item, "celery") or judged(item, "")
        rows.append([
            item.row.title, item.row.unit, side.get("celery", ""), side.get("bare", ""), side.get("jobkit", ""),
            f"{found.median:.2f} ({span(found)})" if found else "", goal,
            f"{bare.median:.2f}" if bare else "", judged(item, "bare"),
        ])  # fmt: skip
    heads = ("", "unit", "Celery", "without results", "jobkit", "ratio (of rounds)", "goal", "to no results", "goal")
    yield from _table(heads, rows)


def _peers(items: Sequence[Compared], facts: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for name in facts["sides"]:
        cells = [number(item.sides[name].median) if name in item.sides else "" for item in items]
        rows.append([name, *cells, facts["settings"][name]])
    yield from _table(("", *(f"{item.row.title}, {item.row.unit}" for item in items), "setting"), rows)


def _growth(written: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    first, rows = written[0]["figures"], []
    for place in written:
        cells = [f"{micros:.1f} ({micros / first[name]:.2f})" for name, micros in place["figures"].items()]
        sizes = [f"{place['bytes'][kind]:,.0f}" if kind in place["bytes"] else "" for kind in STATES]
        rows.append([f"{place['live']:,}", f"{place['ended']:,}", *cells, *sizes])
    yield "µs of Redis in each script, and of the wall for all of a job's; in brackets, to the first line.\n"
    yield from _table(("live", "ended", *first, *(f"bytes {kind}" for kind in STATES)), rows)


def _verbs(written: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "µs of each script, how much of it its commands take, and setting up its library; how many commands.\n"
    rows = []
    for cost in written:
        inside = cost["spent"]["inside"].values()
        cells = (cost["spent"]["micros"], sum(micros for _, micros in inside), cost["setup"] or None)
        rows.append([cost["name"], *("" if cell is None else f"{cell:.1f}" for cell in cells)])
        rows[-1].append(f"{sum(calls for calls, _ in inside):.0f}")
    yield from _table(("script", "µs", "its commands", "its library", "commands"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|---" + "|--:" * (len(heads) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def text() -> str:
    """The whole document."""
    return "\n".join(page()).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())

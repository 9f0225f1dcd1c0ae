"""The geometry of tables: columns as wide as they must be, and a last one that gets what is left of it."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

#: The last column is never narrower, and no other is made so.
MIN_LAST, MIN_WIDTH = 16, 8
#: Between two columns.
GAP = 2


def layout(heads: Sequence[str], rows: list[list[str]], *, columns: int, wrap: bool) -> Iterator[list[str]]:
    """Head and rows as cells of equal widths, in a terminal of so many columns.

    Yields: one list of cells a line; a wrapped row goes on in a line whose other cells are blank.
    """
    widths, rest = _widths([list(heads), *rows], columns)
    for *cells, last in (list(heads), *rows):
        begin = [_pad(_cut(cell, size), size) for cell, size in zip(cells, widths, strict=True)]
        for line in (textwrap.wrap(last, rest, break_on_hyphens=False) or [""]) if wrap else [_cut(last, rest)]:
            yield [*begin, line]
            begin = [" " * size for size in widths]


def without_empty_columns(
    heads: Sequence[str], rows: list[Sequence[Any]], as_text: Callable[[Any], str]
) -> tuple[Sequence[str], list[Sequence[Any]]]:
    """Heads and rows without the columns no row has anything in."""
    kept = [number for number in range(len(heads)) if any(as_text(row[number]) for row in rows)]
    return [heads[number] for number in kept], [[row[number] for number in kept] for row in rows]


def _widths(rows: list[list[str]], columns: int) -> tuple[list[int], int]:
    """The width of each column but the last, and of the last; where the terminal is narrow the widest give way."""
    *widths, last = (max(map(width, column)) for column in zip(*rows, strict=True))
    room = columns - GAP * len(widths)
    while room - sum(widths) < min(last, MIN_LAST) and max(widths) > MIN_WIDTH:
        widths[widths.index(max(widths))] -= 1
    return widths, max(MIN_LAST, room - sum(widths))


def beside(rows: list[Sequence[Any]], lines: Iterator[list[str]]) -> Iterator[tuple[Sequence[Any], list[str]]]:
    """Each line with the row it belongs to."""
    source = iter(rows)
    row: Sequence[Any] = ()
    for cells in lines:
        row = next(source) if any(cell.strip() for cell in cells[:-1]) else row
        yield row, cells


def width(text: str) -> int:
    """Columns a terminal needs for `text`."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in text)


def _pad(text: str, size: int) -> str:
    return text + " " * (size - width(text))


def _cut(text: str, size: int) -> str:
    if width(text) <= size:
        return text
    while width(text) >= size:
        text = text[:-1]
    return f"{text}…"

"""Rows with their line numbers, from a CSV file with a header or from a JSON list of objects."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workers.errors import InvalidList

MAX_BYTES = 1024**2


def read_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, Any]]:
    """The rows of a UTF-8 file of at most 1 MiB: ``.csv`` (its header must name `columns`, in any order) or ``.json``.

    Yields the line a row ends on (CSV) or begins on (JSON), counted from 1, and the row: a dict for CSV, whatever
    the list holds for JSON.  Raises `InvalidList`; `OSError` for a file that cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".json"):
        raise InvalidList(str(path), 1, "file name", path.name, "*.csv or *.json")
    text = _text(path)
    return _csv_rows(str(path), text, columns) if suffix == ".csv" else _json_rows(str(path), text)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InvalidList(str(path), 1, "file size", path.stat().st_size, f"at most {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidList(str(path), line, "text", data[error.start : error.end], "UTF-8") from None


def _csv_rows(file: str, text: str, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    try:
        for values in filter(_is_filled, reader):
            line, row = reader.line_num, ",".join(values)
            if header and len(values) != len(header):
                raise InvalidList(file, line, "row", row, f"{len(header)} values: {','.join(header)}")
            if header:
                yield line, dict(zip(header, values, strict=True))
                continue
            header = [value.strip().lower() for value in values]
            if sorted(header) != sorted(columns):
                raise InvalidList(file, line, "header", row, ",".join(columns))
    except csv.Error as error:
        raise InvalidList(file, reader.line_num, "row", str(error), "valid CSV") from None


def _is_filled(values: list[str]) -> bool:
    return any(value.strip() for value in values)


def _json_rows(file: str, text: str) -> Iterator[tuple[int, Any]]:
    position = text.find("[") + 1
    for _ in _parsed(file, text):
        while text[position] in " \t\r\n,":
            position += 1
        row, end = json.JSONDecoder().raw_decode(text, position)
        yield text.count("\n", 0, position) + 1, row
        position = end


def _parsed(file: str, text: str) -> list[Any]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise InvalidList(file, line, "text", _line(text, line), f"valid JSON ({error})") from None
    if not isinstance(rows, list):
        raise InvalidList(file, 1, "text", type(rows).__name__, "a JSON list of objects")
    return rows


def _line(text: str, number: int) -> str:
    return text.split("\n")[number - 1].strip()

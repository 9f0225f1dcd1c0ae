"""Lists of virtual disks, as people write them: a CSV file or a JSON file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypedDict

from workers.errors import InvalidDisk, InvalidList
from workers.rows import read_rows

MAX_DISKS = 1000  # what fits into one job's checkpoint and result
MAX_SIZE = 2 * 1024**4
COLUMNS = ("name", "size")

NAMES = "1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or digit"
SIZES = "1 byte to 2 TiB, as bytes or with K, M, G, T (or KiB…: powers of 1024; KB…: powers of 1000)"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SIZE = re.compile(r"([0-9]{1,18}) ?(?:([KMGT])(i?B)?|B)?", re.ASCII | re.IGNORECASE)


class Disk(TypedDict):
    """One virtual disk to be created: a file name and a size in bytes."""

    name: str
    size: int


def parse_size(value: object) -> int:
    """A size in bytes, from a number of bytes or from a text such as ``64M``, ``1G``, ``512KiB`` or ``1048576``.

    Raises `InvalidDisk` for anything else, and for sizes outside 1 byte to 2 TiB.
    """
    size = _text_to_bytes(value) if isinstance(value, str) else value
    if type(size) is not int or not 1 <= size <= MAX_SIZE:
        raise InvalidDisk("size", value, SIZES)
    return size


def _text_to_bytes(text: str) -> int | None:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    number, unit, suffix = match.groups()
    base = 1000 if (suffix or "").upper() == "B" else 1024
    size: int = int(number) * base ** (" KMGT".index(unit.upper()) if unit else 0)
    return size


def parse_name(value: object) -> str:
    """A file name without any path in it; raises `InvalidDisk` for everything that could leave its directory."""
    if not isinstance(value, str) or not _NAME.fullmatch(value.strip()):
        raise InvalidDisk("name", value, NAMES)
    return value.strip()


def parse_disk(entry: object) -> Disk:
    """One entry of a list, ``{"name": …, "size": …}``, checked; raises `InvalidDisk`."""
    if not isinstance(entry, dict):
        raise InvalidDisk("entry", entry, "an object with name and size")
    for column in entry:
        if column not in COLUMNS:
            raise InvalidDisk("column", column, ", ".join(COLUMNS))
    return Disk(name=parse_name(entry.get("name")), size=parse_size(entry.get("size")))


def read_list(path: str | Path) -> list[Disk]:
    """The disks of a list: a CSV file with the header ``name,size``, or a JSON list of objects with these keys.

    Parameters: the path of a UTF-8 file ending in ``.csv`` or ``.json``, at most 1 MiB and 1000 disks.
    Raises `InvalidList` with file, line, column, value and what is allowed; `OSError` for an unreadable file.
    """
    disks: list[Disk] = []
    lines: dict[str, int] = {}
    for line, entry in read_rows(Path(path), COLUMNS):
        try:
            disk = parse_disk(entry)
        except InvalidDisk as error:
            raise InvalidList(str(path), line, error.column, error.value, error.allowed) from None
        if disk["name"] in lines:
            allowed = f"each name once, and line {lines[disk['name']]} has it"
            raise InvalidList(str(path), line, "name", disk["name"], allowed)
        lines[disk["name"]] = line
        disks.append(disk)
    if not 1 <= len(disks) <= MAX_DISKS:
        raise InvalidList(str(path), 1, "number of disks", len(disks), f"1 to {MAX_DISKS}")
    return disks

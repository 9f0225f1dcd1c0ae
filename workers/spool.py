"""A spool of notifications: one JSON file each, in the order they were put."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

Notification = tuple[str, str, str]


def put(directory: str | Path, address: str, subject: str, text: str) -> Path:
    """Add a notification; it is whole the moment it can be seen."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.time_ns()}-{os.getpid()}.json"
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps([address, subject, text]))
    unfinished.rename(path)
    return path


def all_of(directory: str | Path) -> list[tuple[Path, Notification]]:
    """Everything that waits in it, oldest first."""
    found = sorted(Path(directory).glob("*.json"))
    return [(path, tuple(json.loads(path.read_text()))) for path in found]

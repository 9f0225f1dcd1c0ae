"""Import a CSV file into an SQLite table: paused, aborted or killed at any row, it goes on where it stopped.

::

    from workers.jobs.imports import import_rows

    import_rows.delay("/srv/catalog.csv", "/srv/catalog.db")
"""

from __future__ import annotations

import csv
import sqlite3
import time
from contextlib import closing
from typing import Any

from jobkit import Policy
from workers.app import app


def _lock(path: str, database: str, pause: float = 0.0) -> list[str]:
    return [f"import {database}"]


@app.task(bind=True, policy=Policy(locks=_lock))
def import_rows(self: Any, path: str, database: str, pause: float = 0.0) -> Any:
    """Import every row of a UTF-8 CSV file with a header once, as JSON-like text under its number.

    Parameters: the file; the database, made where it is missing; `pause`, seconds after each row, to look on.
    A row that has another number of values than the header is skipped and logged, and the job ends
    PARTIALLY_SUCCEEDED.  A row's number is its key: one that was written right before a kill -9 is not written twice.
    """
    with open(path, newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file)) or [[]]
    with closing(sqlite3.connect(database, isolation_level=None)) as table:
        table.execute("CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, content TEXT NOT NULL)")
        for number, values in self.job.iterate(lines):
            if len(values) == len(header):
                pairs = ", ".join(f"{name}={value}" for name, value in zip(header, values, strict=True))
                table.execute("INSERT OR IGNORE INTO rows VALUES (?, ?)", (number, pairs))
            else:
                self.job.log(f"row {number + 1} has {len(values)} values, not {len(header)}", level="WARNING")
            time.sleep(pause)
    skipped = sum(len(values) != len(header) for values in lines)
    if skipped:
        return self.job.partially_succeeded(f"{skipped} of {len(lines)} rows skipped", result=len(lines) - skipped)
    return len(lines)

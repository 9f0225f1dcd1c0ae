"""What really happened, outside of Redis: one line per event, appended by whoever did it, in the order it was done."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Line:
    """One event.

    Its `at` is CLOCK_MONOTONIC, common to all processes of the machine; `what` one of the words below.
    """

    what: str
    at: float = 0.0
    job: str = ""
    run: int = 0
    worker: str = ""
    pid: int = 0
    more: dict[str, Any] = field(default_factory=dict)


#: Of the client: the store accepted a job; the client was told that it could not be said.
ACCEPTED, INDETERMINATE = "accepted", "indeterminate"
#: Of a body: it began; it was left (`how`); a checkpoint was accepted (`since`, `value`), refused, or nobody answered.
START, END, SAVED, REFUSED, UNANSWERED = "start", "end", "saved", "refused", "unanswered"
#: Of a body: it has started this `process`.
STARTED = "started"
#: Of `on_finished`: it was called, with this `state`; who was about to call it died, and nobody calls it again.
HOOK, CUT_OFF = "hook", "cut off"
#: Of a worker: it has gone (killed, or ended), or only this `child` of it; its processes were stopped; they go on; it
#: was told to end.
GONE, FROZEN, THAWED, TOLD = "gone", "frozen", "thawed", "told"
#: Of the Redis.
STORE_DOWN, STORE_UP = "store down", "store up"

#: The name of the worker whose processes write, if they are one's.
VARIABLE = "CHAOS_WORKER"


class Evidence:
    """The file.  A line is one write to a file that is opened for appending: lines of many processes never mix."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(self, what: str, job: str = "", run: int = 0, worker: str = "", **more: Any) -> float:
        """Write a line; returns its time."""
        at = time.monotonic()
        who = worker or os.environ.get(VARIABLE, "")
        line = {"what": what, "at": at, "job": job, "run": run, "worker": who, "pid": os.getpid(), "more": more}
        os.write(self._file, (json.dumps({name: value for name, value in line.items() if value}) + "\n").encode())
        return at

    def lines(self, *what: str) -> list[Line]:
        """The lines so far, of these kinds or all."""
        return [line for line in self._read() if not what or line.what in what]

    def of(self, job: str, *what: str) -> list[Line]:
        """The lines of one job."""
        return [line for line in self.lines(*what) if line.job == job]

    def _read(self) -> Iterator[Line]:
        with self.path.open() as file:
            for text in file:
                if text.endswith("\n"):
                    yield Line(**json.loads(text))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

"""An application whose one task counts: what a process did from one job to the next, in instructions of Python.

``BENCH_COUNTED`` names the file that gets the counts, as JSON.  Where ``BENCH_VALGRIND`` is set, the process runs under
callgrind, which counts the machine's instructions; else its bytecodes are counted, which needs nothing but Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.apps import app

WARM_UP, JOBS = 20, 60
TOTAL = WARM_UP + JOBS + 1
_marks: list[int] = []
_count = 0


def _trace(frame: FrameType, event: str, _: Any) -> Any:
    global _count
    frame.f_trace_opcodes, frame.f_trace_lines = True, False
    if event == "opcode":
        _count += 1
    return _trace


def _begin() -> None:
    """Count from here on, in this thread: in functions that are called, and in those we return to."""
    frame: FrameType | None = sys._getframe()
    while frame:
        frame.f_trace, frame.f_trace_opcodes, frame.f_trace_lines = _trace, True, False
        frame = frame.f_back
    sys.settrace(_trace)


def _end(counts: list[int]) -> None:
    Path(os.environ["BENCH_COUNTED"]).write_text(json.dumps(counts))


def _bytecodes() -> None:
    if not _marks:
        _begin()
    _marks.append(_count)
    if len(_marks) == TOTAL:
        sys.settrace(None)
        _end([b - a for a, b in pairwise(_marks[WARM_UP:])])


def _instructions() -> None:
    _marks.append(0)
    if len(_marks) == WARM_UP + 1:
        _callgrind("--zero")
    if len(_marks) == TOTAL:
        _callgrind("--dump")
        dump = max(Path(os.environ["BENCH_VALGRIND"]).glob(f"callgrind.out.{os.getpid()}.*"))
        (total,) = (line for line in dump.read_text().splitlines() if line.startswith("totals:"))
        _end([int(total.split()[1]) // JOBS])


def _callgrind(action: str) -> None:
    done = subprocess.run(["callgrind_control", action, str(os.getpid())], capture_output=True, text=True)
    if done.returncode or "Error" in done.stdout:
        raise RuntimeError(done.stdout + done.stderr)


mark = _instructions if "BENCH_VALGRIND" in os.environ else _bytecodes
counted = app.task(mark, name="counted")


def main() -> None:
    """What a client does: from one ``delay()`` to the next."""
    for _ in range(TOTAL):
        counted.delay()
        mark()
    print("{}")


if __name__ == "__main__":
    # Its task is that of the module a worker imports, not this one's.
    from benchmarks import counted as module

    module.main()

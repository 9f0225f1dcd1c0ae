"""The two jobs of every comparison, whatever runs them: plain functions, which need nothing but Python.

The file each run is noted in is named by ``BENCH_STAMPS``.
"""

from __future__ import annotations

import os
import struct
import time

WORK = 0.010  #: seconds of processor time

_stamps = os.open(os.environ["BENCH_STAMPS"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)


def noop() -> None:
    """Do nothing but note the time: 2 µs, and no command to Redis that would count as the job's."""
    os.write(_stamps, struct.pack("d", time.monotonic()))


def work() -> None:
    """Keep a processor busy for 10 ms, as much on one as on many threads; note the time."""
    end = time.thread_time() + WORK
    while time.thread_time() < end:
        pass
    noop()

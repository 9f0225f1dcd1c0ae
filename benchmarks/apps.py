"""The two sides of the comparison: the same task of the same application, without and with jobkit.

Every process of a benchmark loads this module.  Its environment says what it is: ``BENCH_SIDE`` (celery or jobkit),
``BENCH_REDIS`` (address of broker and results) and ``BENCH_STAMPS`` (the file each run of the task is noted in).
"""

from __future__ import annotations

import os
import struct
import time
from datetime import timedelta

from celery import Celery

URL = os.environ["BENCH_REDIS"]

# Kept for a day on both sides: nothing goes while it is counted.
app = Celery("benchmarks", broker=URL, backend=URL, result_expires=timedelta(days=1))
if os.environ["BENCH_SIDE"] == "jobkit":
    from jobkit import JobKit

    JobKit(app)

_stamps = os.open(os.environ["BENCH_STAMPS"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)


@app.task
def noop() -> None:
    """Do nothing but note the time: 2 µs, and no command to Redis that would count as the job's."""
    os.write(_stamps, struct.pack("d", time.monotonic()))

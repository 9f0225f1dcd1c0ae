"""The sides of the comparison: the same tasks of the same application, without and with jobkit.

Every process of a benchmark loads this module.  Its environment says what it is: ``BENCH_SIDE`` (celery, bare: the same
without results, jobkit, or "jobkit uncapped": any number of ended jobs), ``BENCH_REDIS`` (address of broker and
results) and ``BENCH_STAMPS`` (see tasks.py).
"""

from __future__ import annotations

import os
from datetime import timedelta

from celery import Celery

from benchmarks import tasks

URL = os.environ["BENCH_REDIS"]
SIDE, *WORDS = os.environ["BENCH_SIDE"].split()

# Kept for a day on all sides: nothing goes while it is counted.
app = Celery("benchmarks", broker=URL, backend=None if SIDE == "bare" else URL, result_expires=timedelta(days=1))
app.conf.task_ignore_result = SIDE == "bare"
jobs = None
if SIDE == "jobkit":
    from jobkit import JobKit

    if "uncapped" in WORDS:
        app.conf.jobkit_retention_jobs = None
    jobs = JobKit(app)

noop, work = app.task(tasks.noop, name="noop"), app.task(tasks.work, name="work")

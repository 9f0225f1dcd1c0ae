"""A client of its own, which may die: ``python -m tests.chaos.submit TASK ID ARGUMENTS``, the last as JSON."""

from __future__ import annotations

import json
import sys

from tests.chaos.worker import app

if __name__ == "__main__":
    task, job_id, args = sys.argv[1:]
    app.tasks[task].apply_async(json.loads(args), task_id=job_id)

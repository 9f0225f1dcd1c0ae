"""What a submitting client of another queue does: ``… -m benchmarks.peers.client QUEUE VERB TASK JOBS`` prints JSON."""

from __future__ import annotations

import importlib
import json
import sys
import time

WARM_UP = 20


def main(queue: str, verb: str, task: str, jobs: int) -> dict[str, float]:
    """Seconds of wall time and of CPU time for each of the jobs, without the first few."""
    submit = getattr(importlib.import_module(f"benchmarks.peers.{queue}"), verb)
    submit(task, WARM_UP)
    wall, cpu = time.perf_counter(), time.process_time()
    submit(task, jobs - WARM_UP)
    calls = jobs - WARM_UP
    return {"wall": (time.perf_counter() - wall) / calls, "cpu": (time.process_time() - cpu) / calls}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))

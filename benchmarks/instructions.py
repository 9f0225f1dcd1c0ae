"""``python -m benchmarks.instructions``: instructions of a job, which no busy machine changes.

Counted are the client's ``delay()``, what a pool child does for a job, and a whole solo worker, on plain Celery and
with jobkit: bytecodes of Python, or, with ``--callgrind``, instructions of the processor (needs valgrind; minutes;
not of the pool child).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Sequence

from benchmarks.stage import BenchmarkFailed, Stage, Worker, stage

CELERY = ("-m", "celery", "-A", "benchmarks.counted", "worker", "-l", "WARNING")
CLIENT = "delay()"
PATHS = {
    CLIENT: ("-m", "benchmarks.counted"),
    "pool child": (*CELERY, "-P", "prefork", "-c", "1"),
    "solo worker": (*CELERY, "-P", "solo"),
}
#: What callgrind can be told to count from a job to another: it does not find a child that was forked.
BY_CALLGRIND = (CLIENT, "solo worker")
VALGRIND = ("valgrind", "--tool=callgrind", "--log-file=/dev/null")
DEADLINE = 300.0  #: seconds


def count(side: str, path: str, *, callgrind: bool = False) -> float:
    """Instructions of one job on one of `PATHS`: the median of many, or under callgrind their mean.

    Raises: `BenchmarkFailed` where the worker does not run them.
    """
    with stage(side) as scene:
        scene.env["BENCH_COUNTED"] = str(scene.folder / "counted")
        if path != CLIENT:
            scene.run(sys.executable, *PATHS[CLIENT])  # jobs for the worker
            (scene.folder / "counted").unlink()
        command: tuple[str, ...] = (sys.executable, *PATHS[path])
        if callgrind:
            scene.env["BENCH_VALGRIND"] = str(scene.folder)
            command = (*VALGRIND, f"--callgrind-out-file={scene.folder}/callgrind.out.%p", *command)
        if path == CLIENT:
            scene.run(*command)
            return _counted(scene)
        with scene.start(*command, kill=True) as worker:
            return _counted(scene, worker)


def _counted(scene: Stage, worker: Worker | None = None) -> float:
    path, deadline = scene.folder / "counted", time.monotonic() + DEADLINE
    while not path.exists() or not path.read_text():
        if time.monotonic() > deadline or worker is None or worker.process.poll() is not None:
            raise BenchmarkFailed(f"nothing was counted:\n{worker.log.read_text()[-2000:] if worker else ''}")
        time.sleep(0.05)
    return statistics.median(json.loads(path.read_text()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each path."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--callgrind", action="store_true", help="instructions of the processor, by valgrind")
    parser.add_argument("--only", nargs="+", choices=PATHS, default=tuple(PATHS), help="a selection")
    options = parser.parse_args(arguments)
    if options.callgrind and not shutil.which("valgrind"):
        print("SKIPPED: there is no valgrind here. On Debian or Ubuntu: sudo apt-get install valgrind", file=sys.stderr)
        return 0
    print(f"{'':16} {'celery':>12} {'jobkit':>12}  ratio")
    try:
        for path in options.only:
            if options.callgrind and path not in BY_CALLGRIND:
                print(f"{path:16} SKIPPED: callgrind cannot be told to begin in a child that was forked")
                continue
            celery, jobkit = (count(side, path, callgrind=options.callgrind) for side in ("celery", "jobkit"))
            print(f"{path:16} {celery:12,.0f} {jobkit:12,.0f} {jobkit / celery:6.3f}", flush=True)
    except BenchmarkFailed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

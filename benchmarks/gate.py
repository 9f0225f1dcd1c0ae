"""``python -m benchmarks.gate``: fails when a job has come to cost more; it counts, and looks at no clock.

Counted are the Redis commands of a job from ``delay()`` to ``get()``, sent by clients and called in scripts, and the
bytecodes of the client's ``delay()`` and of a pool child, as ratios to plain Celery's in the same run.  What they were
when somebody last looked is in gate.json; ``--accept`` writes what they are now.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.instructions import count
from benchmarks.measure import commands
from benchmarks.stage import BenchmarkFailed
from jobkit.errors import JobkitError

ACCEPTED = Path(__file__).parent / "gate.json"
PATHS = ("delay()", "pool child")
ROUND_TRIPS = 25
#: How much more bytecodes may be; another Python makes others of the same text.
SAME_PYTHON, OTHER_PYTHON = 0.02, 0.10

Counts = dict[str, float]


def counts() -> Counts:
    """What a job takes now."""
    # The fewest: on a busy machine many clients look for a result that is there, and such a look is noted.
    found = {name: float(value) for name, value in commands("jobkit", ROUND_TRIPS, min).items()}
    for path in PATHS:
        found[f"{path} bytecodes to Celery's"] = round(count("jobkit", path) / count("celery", path), 3)
    return found


def judged(found: Mapping[str, float], accepted: Mapping[str, float], *, same_python: bool) -> dict[str, str]:
    """ "worse", "better" or "" for each count."""
    verdicts = {}
    for name, value in found.items():
        slack = 0.0 if name.startswith("commands") else SAME_PYTHON if same_python else OTHER_PYTHON
        low, high = accepted[name] * (1 - slack), accepted[name] * (1 + slack)
        verdicts[name] = "worse" if value > high else "better" if value < low else ""
    return verdicts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each count beside what is accepted; the answer is 1 where one is worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--accept", action="store_true", help="from now on it may cost what it does now")
    options = parser.parse_args(arguments)
    python = platform.python_version().rpartition(".")[0]
    try:
        found = counts()
    except (BenchmarkFailed, JobkitError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    if options.accept:
        ACCEPTED.write_text(json.dumps({"python": python, "counts": found}, indent=2) + "\n")
    accepted = json.loads(ACCEPTED.read_text())
    verdicts = judged(found, accepted["counts"], same_python=accepted["python"] == python)
    for name, value in found.items():
        print(f"{name:36} {value:8.7g}  accepted {accepted['counts'][name]:8.7g}  {verdicts[name]}".rstrip())
    if "worse" in verdicts.values() or "better" in verdicts.values():
        print("If that is as it should be: python -m benchmarks.gate --accept")
    return int("worse" in verdicts.values())


if __name__ == "__main__":
    sys.exit(main())

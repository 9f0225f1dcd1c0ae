"""``python -m tests.chaos``: the storm at full size; prints its figures, each beside its goal."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from tests.chaos.figures import text
from tests.chaos.storm import Weather, bar, blow


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    for option in fields(Weather):
        kind, several = type(option.default), {"nargs": "*"} if isinstance(option.default, tuple) else {}
        parser.add_argument(
            f"--{option.name}",
            type=str if several else kind,
            default=option.default,
            help="default %(default)s",
            **several,  # type: ignore[arg-type]
        )
    weather = Weather(**vars(parser.parse_args(arguments)))
    folder = Path(tempfile.mkdtemp(prefix="jobkit-chaos-"))
    result = blow(folder, weather, bar)
    bar("")
    print(text(result.rows))
    for finding in result.findings[:50]:
        print(f"{finding.rule}: {finding.job}: {finding.text}")
    failed = bool(result.findings) or result.rows[-1][1] != "yes"
    print(f"faults: {result.faults}; evidence and logs: {folder}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

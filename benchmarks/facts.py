"""Where figures are kept, and what is said of a run besides them."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.stage import flavour
from jobkit import __version__ as VERSION

RESULTS = Path(__file__).parent / "results"
DISTURBED = 0.1  # processors kept busy by other programs, from which on they can be seen in the figures


def about(jobs: int, rounds: int, sides: Sequence[str]) -> dict[str, Any]:
    """What is run, and on what."""
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "jobs": jobs,
        "rounds": rounds,
        "sides": tuple(sides),
        "server": flavour(),
        "processors": os.cpu_count(),
    }


def kept(parser: argparse.ArgumentParser, kind: str = "", usual: Path | None = None) -> None:
    """Options that say where the figures are kept."""
    where = f" (default {usual})" if usual else ""
    parser.add_argument("--json", type=Path, default=usual, metavar="PATH", help=f"where to write the figures{where}")
    text = "they are the figures of this release, for the documents"
    parser.add_argument("--release", dest="json", action="store_const", const=release(kind), help=text)


def disturbed(facts: dict[str, Any]) -> str:
    """The lines below a table: how it was measured, and whether that was disturbed."""
    text = "\n{rounds} rounds, turn by turn, of {jobs:,} no-op jobs; medians; ± half the spread. {server}."
    if facts["others"] > DISTURBED:
        text += "\nDisturbed: other programs kept {others} of {processors} processors busy."
    return text.format(**facts)


def release(kind: str = "") -> Path:
    """The file of this release's figures: of the comparison, or of `kind`."""
    return RESULTS / f"{VERSION}{'-' * bool(kind)}{kind}.json"


def released(kind: str = "") -> Any:
    """What is in that of the newest release that has one, or None."""
    ending = f"-{kind}.json" if kind else ".json"
    found = [path for path in RESULTS.glob("[0-9]*.json") if path.name.removesuffix(ending).replace(".", "").isdigit()]
    return json.loads(max(found, key=_version).read_text()) if found else None


def _version(path: Path) -> tuple[int, ...]:
    return tuple(map(int, path.name.partition("-")[0].removesuffix(".json").split(".")))

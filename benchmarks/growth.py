"""``python -m benchmarks.growth``: whether a job costs the same beside a thousand jobs and beside a million.

Each size has a Redis of its own; batches of jobs go through all of them in turn, in the words a real client and a real
worker sent (see verbs.py), with no bound on how many ended jobs are held.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from redis import Redis

from benchmarks.crowd import fill
from benchmarks.facts import kept
from benchmarks.report import aligned
from benchmarks.sent import Call, recorded
from benchmarks.stage import BenchmarkFailed, stage
from benchmarks.verbs import BATCH, batch
from jobkit.embedded import EmbeddedRedis
from jobkit.errors import JobkitError
from jobkit.store.scripts import source

MOST = 0.10  #: how much more a job may cost beside many
BASE = "{jobkit}:"


@dataclass
class Place:
    """A Redis with so many live and ended jobs: bytes of each kind, µs of each script by batch, wall µs of a job."""

    live: int
    ended: int
    client: Any = None
    bytes: dict[str, float] = field(default_factory=dict)
    micros: dict[str, list[float]] = field(default_factory=dict)
    wall: list[float] = field(default_factory=list)

    @property
    def figures(self) -> dict[str, float]:
        """Medians: the µs of each script, of them all, and of the wall."""
        found = {verb: median(values) for verb, values in self.micros.items()}
        return found | {"scripts": sum(found.values()), "wall": median(self.wall)}

    def document(self) -> dict[str, Any]:
        """What is written as JSON."""
        return {name: value for name, value in vars(self).items() if name != "client"} | {"figures": self.figures}


def grown(calls: Sequence[Call], live: int, ended: int, stack: ExitStack) -> Place:
    """A Redis with so many jobs: half of those that live are queued, half run."""
    server = stack.enter_context(EmbeddedRedis())
    client = stack.enter_context(Redis.from_url(server.url))
    place = Place(live, ended, client)
    run = next(n for n, call in enumerate(calls) if call.verb == "claim")
    for call in calls:
        client.script_load(source(call.verb))
    kinds = (("queued", calls[:1], live // 2), ("running", calls[: run + 1], live - live // 2), ("ended", calls, ended))
    for kind, part, count in kinds:
        if count:
            place.bytes[kind] = fill(client, BASE, [call for call in part if call.verb != "read"], count, kind)
    return place


def measure(places: Sequence[Place], calls: Sequence[Call], jobs: int) -> None:
    """Have so many jobs go through each place, a batch at a time; the first one does not count."""
    for turn in range(1 + jobs // BATCH):
        for place in places if turn % 2 else reversed(places):
            began = time.perf_counter()
            spent = batch(place.client, calls)
            wall = (time.perf_counter() - began) / BATCH
            if turn:
                place.wall.append(1e6 * wall)
                for call, one in zip(calls, spent, strict=True):
                    place.micros.setdefault(call.verb, []).append(one.micros)


def lines(places: Sequence[Place]) -> Iterator[list[str]]:
    """The table: µs of each script, ratios to the first place, bytes of each kind of job."""
    verbs, kinds = list(places[0].figures), ("queued", "running", "ended")
    heads = [head for verb in verbs for head in (f"{verb} µs", "ratio")]
    yield ["live", "ended", *heads, *(f"{kind} B" for kind in kinds)]
    first = places[0].figures
    for place in places:
        cells = [f"{place.live:,}", f"{place.ended:,}"]
        for verb, micros in place.figures.items():
            cells += [f"{micros:.1f}", f"{micros / first[verb]:.2f}"]
        yield cells + [f"{place.bytes[kind]:,.0f}" if kind in place.bytes else "" for kind in kinds]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, measure, print; the answer is 1 where a job costs more than a tenth more beside many."""
    options = _options(arguments)
    with ExitStack() as stack:
        try:
            with stage("jobkit uncapped") as scene:
                calls = recorded(scene)
            sizes = dict.fromkeys([(options.few, 0), (options.live, 0), (options.few, options.ended)])
            places = [grown(calls, live, ended, stack) for live, ended in sizes]
            measure(places, calls, options.jobs)
        except (BenchmarkFailed, JobkitError) as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 2
    print(aligned(list(lines(places))))
    most = max(place.figures["scripts"] for place in places) / places[0].figures["scripts"]
    print(f"\nThe scripts of a job cost at most {most:.2f} of what they cost beside {options.few:,}: ", end="")
    print("met" if most <= 1 + MOST else f"MISSED, {1 + MOST:.2f} is the goal")
    if options.json:
        options.json.write_text(json.dumps([place.document() for place in places], indent=2) + "\n")
    return int(most > 1 + MOST)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--few", type=int, default=1_000, help="live jobs of the first size (default 1000)")
    parser.add_argument("--live", type=int, default=1_000_000, help="live jobs of the second (default 1000000)")
    parser.add_argument("--ended", type=int, default=1_000_000, help="ended jobs of the third (default 1000000)")
    parser.add_argument("--jobs", type=int, default=3_000, help="jobs that are measured beside them (default 3000)")
    kept(parser, "growth")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

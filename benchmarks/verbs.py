"""``python -m benchmarks.verbs``: what each script costs Redis, in µs, and how much of that its commands take.

First the scripts of one plain job, in the words a real client and a real worker sent them (MONITOR), played again with
other ids; then, with ``--all``, every script in every situation the idempotency test knows of.  "In Redis" is what the
commands inside take, "setup" what it takes before the script itself begins; the rest is the script's own Lua.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from redis import Redis

from benchmarks import callgrind
from benchmarks.facts import kept
from benchmarks.sent import Call, recorded
from benchmarks.stage import flavour, stage
from jobkit.embedded import EmbeddedRedis
from jobkit.ext.ids import uuid7
from jobkit.store.scripts import NAMES, source

BATCH = 100  #: jobs that go together from verb to verb: as many are at work at once
_SCRIPTS = ("evalsha", "eval")


@dataclass(frozen=True)
class Spent:
    """What one call took: µs, and calls and µs of each command inside of it."""

    micros: float
    inside: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def commands(self) -> float:
        """How many commands it called."""
        return sum(calls for calls, _ in self.inside.values())

    @property
    def in_commands(self) -> float:
        """The µs those took; the rest is Lua."""
        return sum(micros for _, micros in self.inside.values())


@dataclass(frozen=True)
class Cost:
    """A script's median cost, and its spread over batches: half of (max - min) / median."""

    name: str
    bytes: int
    spent: Spent
    spread: float
    setup: float = 0.0  #: µs before the script itself begins: the library and its includes are set up

    def line(self, *, details: bool) -> str:
        """As a row of the table."""
        spent = self.spent
        row = f"{self.name:44} {spent.micros:8.1f} ±{self.spread:3.0%} {spent.in_commands:8.1f} {spent.commands:9.1f}"
        row += f" {self.setup:8.1f} {self.bytes:>9,}" if self.bytes else ""
        if not details:
            return row
        parts = (f"{name.upper()} {calls:.3g} x {micros / calls:.1f}" for name, (calls, micros) in spent.inside.items())
        return f"{row}\n{'':4}{', '.join(parts)}"


HEAD = f"{'script':44} {'µs':>8} {'':4} {'in Redis':>9} {'commands':>9} {'setup':>8} {'bytes':>9}"


def replay(client: Any, calls: Sequence[Call], jobs: int) -> list[Cost]:
    """Play these calls again for so many jobs, a batch of jobs at a time; the first batch does not count."""
    libraries = [alone(client, call) for call in calls]
    rounds = list(zip(*(batch(client, calls) for _ in range(1 + jobs // BATCH)), strict=True))
    costs = (_cost(call.verb, call.size, found[1:]) for call, found in zip(calls, rounds, strict=True))
    return [replace(cost, setup=micros) for cost, micros in zip(costs, libraries, strict=True)]


def batch(client: Any, calls: Sequence[Call]) -> list[Spent]:
    """What each of these calls takes, for a batch of new jobs."""
    ids, found = [uuid7().encode() for _ in range(BATCH)], []
    for call in calls:
        before = _stats(client)
        for job_id in ids:
            client.execute_command(*call.of(job_id))
        found.append(_spent(before, _stats(client), BATCH))
    return found


def alone(client: Any, call: Call, text: str | None = None, times: int = 1_000) -> float:
    """The µs of a script that is this one's library and includes, or another text, and then nothing."""
    text = source(call.verb).partition(f"--[[ {call.verb}:")[0] if text is None else text
    sha = client.script_load(text + "return 1")
    before = _stats(client)
    for _ in range(times):
        client.execute_command("EVALSHA", sha, *call.words[2:])
    return _spent(before, _stats(client), times).micros


def situations(client: Any, jobs: int, only: Sequence[str]) -> Iterator[Cost]:
    """Every script, as it is called in every situation the idempotency test knows of; each job in a namespace."""
    from tests.store.test_idempotency import CASES
    from tests.store.world import World

    for name, case in sorted(CASES.items(), key=lambda item: item[1].script):
        if only and case.script not in only:
            continue
        found = []
        for turn in range(1 + jobs // BATCH):
            client.flushdb()
            worlds = [World(client, f"{turn}-{n}") for n in range(BATCH)]
            for world in worlds:
                case.setup(world)
            before = _stats(client)
            for world in worlds:
                case.act(world.store)
            found.append(_spent(before, _stats(client), BATCH))
        yield _cost(name if name.startswith(case.script) else f"{case.script}: {name}", 0, found[1:])


def _cost(name: str, size: int, found: Sequence[Spent]) -> Cost:
    micros = [spent.micros for spent in found]
    middle = statistics.median_low(micros)
    return Cost(name, size, found[micros.index(middle)], (max(micros) - min(micros)) / middle / 2)


def _stats(client: Any) -> dict[str, tuple[int, int]]:
    stats = client.info("commandstats").items()
    return {name.removeprefix("cmdstat_"): (one["calls"], one["usec"]) for name, one in stats}


def _spent(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], calls: int) -> Spent:
    each = {
        name: tuple((b - a) / calls for a, b in zip(before.get(name, (0, 0)), now, strict=True))
        for name, now in after.items()
        if name not in ("info", "flushdb", "script|load", "script") and now[0] > before.get(name, (0, 0))[0]
    }
    scripts: Any = [each.pop(name) for name in _SCRIPTS if name in each]
    inside: Any = dict(sorted(each.items(), key=lambda item: -item[1][1]))
    return Spent(sum(micros for _, micros in scripts), inside)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table as it comes; the JSON where it was asked for."""
    options = _options(arguments)
    if options.callgrind:
        return _instructions(options.jobs)
    print(f"{flavour()}; medians of batches of {BATCH} jobs, ± half their spread\n\n{HEAD}", flush=True)
    with stage("jobkit") as scene, Redis.from_url(scene.env["BENCH_REDIS"]) as client:
        calls = recorded(scene)
        costs = replay(client, calls, options.jobs)
        empty = alone(client, calls[0], "")
    for cost in costs:
        print(cost.line(details=True))
    print(f"{'together':44} {sum(cost.spent.micros for cost in costs):8.1f}")
    print(f"{'a script that is empty':44} {empty:8.1f}", flush=True)
    if options.all or options.only:
        print()
        with EmbeddedRedis() as server, Redis.from_url(server.url, max_connections=2 * BATCH) as client:
            for cost in situations(client, options.jobs, options.only):
                print(cost.line(details=options.details), flush=True)
                costs.append(cost)
    if options.json:
        options.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=2) + "\n")
    return 0


def _instructions(jobs: int) -> int:
    if not callgrind.is_there():
        print("SKIPPED: there is no valgrind here. On Debian or Ubuntu: sudo apt-get install valgrind", file=sys.stderr)
        return 0
    with stage("jobkit") as scene:
        calls = recorded(scene)
    print(f"{flavour()}; means of {jobs} jobs\n\n{callgrind.HEAD}", flush=True)
    for line in callgrind.counted(calls, jobs):
        print(line, flush=True)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verbs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2_000, help="calls of each (default 2000; at least 100)")
    parser.add_argument("--all", action="store_true", help="every script in every situation the tests know")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=(), metavar="SCRIPT", help="of these, some")
    parser.add_argument("--details", action="store_true", help="the commands inside of each of these, too")
    parser.add_argument("--callgrind", action="store_true", help="instead, instructions of the processor, by valgrind")
    kept(parser, "verbs")
    options = parser.parse_args(arguments)
    if options.jobs < BATCH:
        parser.error(f"--jobs {options.jobs}: at least {BATCH} are needed")
    return options


if __name__ == "__main__":
    sys.exit(main())

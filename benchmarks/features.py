"""``python -m benchmarks.features``: what a plain job costs Redis beside one that holds a lock, has a child, and so on.

µs and commands of its scripts (INFO commandstats), from its submission to its end.  The second row is a plain job
again, in a namespace full of jobs that use all of it: what others use costs it nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from redis import Redis

from benchmarks.stage import flavour
from jobkit.embedded import EmbeddedRedis
from jobkit.ext.ids import uuid7
from jobkit.locks import Lock, Rate, Semaphore
from jobkit.states import Outcome
from jobkit.store import End, JobStore, Plan, Settled, blocks, families

BATCH = 100  #: jobs that go together from script to script
WORKER, TOKEN = "worker@host|abcdefgh", "0123456789abcdef"
MESSAGE = '{"name": "shop.pack", "body": "' + "x" * 900 + '"}'
HOLDER = Settled(1, TOKEN, WORKER)
DONE = End(("finish",), Outcome.SUCCEEDED, meta='{"status": "SUCCESS", "result": 3}', keep=300_000)
PARENT = "parent"


class Spent(NamedTuple):
    """µs and commands of one job."""

    micros: float
    commands: float


@dataclass(frozen=True)
class Kind:
    """A kind of job: the options of its plan, and what its body does; `n` is its number in the batch."""

    title: str
    options: Callable[[int], dict[str, Any]] = lambda n: {}
    body: Callable[[JobStore, str], object] | None = None


def _plan(job_id: str, **options: Any) -> Plan:
    facts = {"queue": "celery", "args": "(1, 2)", **options.pop("facts", {})}
    return Plan(job_id, "shop.pack", MESSAGE, facts=facts, **options)


def _child(up: str) -> dict[str, Any]:
    return {"up": up, "upon": "fail", "fence": f"1 {TOKEN}", "facts": {"parent": up}}


def _has_a_child(store: JobStore, job_id: str) -> None:
    child = uuid7()
    submit(store, child, **_child(job_id))
    claim(store, child)
    store.finish(child, HOLDER, DONE)


def _can_be_undone(store: JobStore, job_id: str) -> None:
    families.keep(store, job_id, HOLDER, "rollback", _plan(uuid7()))


KINDS = (
    Kind("a plain job"),
    Kind("the same, among jobs with all of this"),
    Kind("of an owner, with two tags", lambda n: {"owner": "alice", "tags": ("red", "blue")}),
    Kind("with a lock", lambda n: {"locks": (Lock(f"disk-{n}"),)}),
    Kind("with a place of many", lambda n: {"locks": (Semaphore("hands", 1_000_000),)}),
    Kind("with a rate", lambda n: {"locks": (Rate("mails", 1_000_000, 1.0),)}),
    Kind("on a host", lambda n: {"host": "eu-1"}),
    Kind("one of a group", lambda n: {"kin": "group"}),
    Kind("a child", lambda n: _child(PARENT)),
    Kind("a parent; its child is counted too", body=_has_a_child),
    Kind("with a compensation", body=_can_be_undone),
)


def submit(store: JobStore, job_id: str, **options: Any) -> None:
    """A job that can start at once."""
    verdict = store.create(_plan(job_id, **options), "client@host")
    assert verdict.code == "ok", verdict


def claim(store: JobStore, job_id: str) -> None:
    """It starts."""
    found = store.claim(job_id, 1, TOKEN, WORKER, 4711, redelivered=False, plan=_plan(job_id))
    assert found.code == "ok", found


def crowd(store: JobStore, jobs: int = 50) -> None:
    """Jobs that use all of it, at work and waiting."""
    submit(store, PARENT)
    claim(store, PARENT)
    blocks.block(store, "host", "away", "offline", "no power", None, "client@host")
    for n in range(jobs):
        submit(store, running := uuid7(), locks=(Lock(f"room-{n}"),), kin="others", **_child(PARENT))
        claim(store, running)
        _can_be_undone(store, running)
        for options in ({"locks": (Lock(f"room-{n}"),)}, {"host": "away"}):
            store.create(_plan(uuid7(), **options), "client@host")


def batch(store: JobStore, kind: Kind) -> list[Spent]:
    """What each step of so many of them takes: the submission, the claim, the body, the end."""
    ids, body = [uuid7() for _ in range(BATCH)], kind.body
    steps: tuple[Callable[[int, str], object] | None, ...] = (
        lambda n, job_id: submit(store, job_id, **kind.options(n)),
        lambda _, job_id: claim(store, job_id),
        body and (lambda _, job_id: body(store, job_id)),
        lambda _, job_id: store.finish(job_id, HOLDER, DONE),
    )
    return [_spent(store.client, step, ids) if step else Spent(0, 0) for step in steps]


def _spent(client: Any, step: Callable[[int, str], object], ids: Sequence[str]) -> Spent:
    client.config_resetstat()
    for n, job_id in enumerate(ids):
        step(n, job_id)
    stats = {name.removeprefix("cmdstat_"): one for name, one in client.info("commandstats").items()}
    scripts = stats.pop("evalsha")["usec"]
    del stats["config|resetstat"]
    return Spent(scripts / len(ids), sum(one["calls"] for one in stats.values()) / len(ids))


def _turned(order: Sequence[int], by: int) -> list[int]:
    by %= len(order)
    return [*order[by:], *order[:by]]


def rounds(number: int) -> list[list[Spent]]:
    """The medians of each kind's steps; the kinds take turns, each in a Redis of its own."""
    with ExitStack() as closing:
        stores = []
        for kind in KINDS:
            client = closing.enter_context(Redis.from_url(closing.enter_context(EmbeddedRedis()).url))
            stores.append(JobStore(client))
            if kind.title.endswith("all of this"):
                crowd(stores[-1])
            elif kind.options(0).get("up"):
                submit(stores[-1], PARENT)
                claim(stores[-1], PARENT)
        found: list[list[list[Spent]]] = [[] for _ in KINDS]
        for turn in range(1 + number):
            for n in _turned(range(len(KINDS)), turn):
                found[n].append(batch(stores[n], KINDS[n]))
    sides = [one[1:] for one in found]  # the first loads the scripts
    return [[Spent(*map(median, zip(*step, strict=True))) for step in zip(*side, strict=True)] for side in sides]


def _cell(spent: Spent) -> str:
    return f"{spent.micros:8.0f}{spent.commands:6.1f}" if spent.commands else " " * 14


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help=f"of {BATCH} jobs of each kind (default 15)")
    given = parser.parse_args(arguments)
    print(
        f"{flavour()}; µs, and commands, of a job in Redis; medians of {given.rounds} rounds of {BATCH}, turn by turn\n"
    )
    print(f"{'':38}{'submitted':>14}{'begun':>14}{'body':>14}{'ended':>14}{'together':>14}{'to plain':>9}")
    found = rounds(given.rounds)
    plain = sum(step.micros for step in found[0])
    for kind, steps in zip(KINDS, found, strict=True):
        together = Spent(*map(sum, zip(*steps, strict=True)))
        cells = "".join(map(_cell, (*steps, together)))
        print(f"{kind.title:38}{cells}{together.micros / plain:9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a job costs Redis, in commands: one without locks, children, definitions and the like pays nothing for them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jobkit.store import JobStore
from tests.store.test_health import everything
from tests.store.test_retention import DONE
from tests.store.world import World, holder

#: Commands of a plain job of one run, in all its scripts, with the scripts themselves; more has to be worth it.
CREATE, CLAIM, FINISH = 8, 11, 16


def spent(store: JobStore, act: Any) -> Counter[str]:
    """The commands Redis was asked for by this, by name."""
    client: Any = store.client
    client.config_resetstat()
    act()
    stats = client.info("commandstats")
    found = Counter({name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()})
    del found["config|resetstat"]
    return found


def plain(world: World, job_id: str) -> list[Counter[str]]:
    """A plain job, from its submission to its end: what each of its three scripts costs."""
    return [
        spent(world.store, lambda: world.submit(job_id)),
        spent(world.store, lambda: world.claim(job_id)),
        spent(world.store, lambda: world.store.finish(job_id, holder(), DONE)),
    ]


def test_a_plain_job_costs_so_many_commands(world: World) -> None:
    plain(world, "scripts-are-loaded")
    found = [cost.total() for cost in plain(world, "j")]
    print(f"commands of a plain job: create {found[0]}, claim {found[1]}, finish {found[2]}")
    assert all(cost <= most for cost, most in zip(found, (CREATE, CLAIM, FINISH), strict=True)), found


def test_it_pays_nothing_for_what_only_others_use(world: World) -> None:
    plain(world, "scripts-are-loaded")
    alone = plain(world, "alone")
    everything(world)  # locks, a host that is away, a family, compensations, pins, a definition, other owners
    assert plain(world, "among others") == alone

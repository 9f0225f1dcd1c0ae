"""What a worker holds and does not run is settled; what comes back while it looks is let be."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from jobkit.services.strays import Strays
from jobkit.store.workers import Lost
from tests.store.world import WORKER, World


def look(world: World, *busy: Iterable[str]) -> list[Lost]:
    """Look until it has been asked so often what the worker is busy with; answers what was settled."""
    settled: list[Lost] = []
    asked = iter(busy)
    strays = Strays(world.store, WORKER, lambda: set(next(asked)), 0, settled.append)
    for _ in range(2):
        strays.run_once()
    assert next(asked, None) is None
    return settled


def test_a_run_that_two_looks_do_not_see_is_settled(world: World) -> None:
    world.submit()
    world.claim()
    [lost] = look(world, (), (), ())
    assert (lost.id, lost.run) == ("j", 1)


@pytest.mark.parametrize("seen", [(("j",), ()), ((), ("j",))])
def test_a_run_that_one_of_them_sees_is_not(world: World, seen: tuple[Iterable[str], ...]) -> None:
    world.submit()
    world.claim()
    assert look(world, *seen) == []


def test_a_run_that_begins_after_both_have_looked_is_not(world: World) -> None:
    world.submit()
    world.store.run("reserve", WORKER, 0, 0, "", "", "", 0, 1, "j")  # held by a message that is done with
    world.claim()
    assert look(world, (), (), ("j",)) == []


def test_a_message_that_comes_after_both_have_looked_is_not_published_again(world: World) -> None:
    world.submit()
    world.store.run("reserve", WORKER, 0, 0, "", "", "", 0, 1, "j")
    assert look(world, (), (), ("j",)) == []
    assert world.store.take("keeper")[1] == []
    assert look(world, (), (), ()) == []
    assert [job_id for job_id, _, _ in world.store.take("keeper")[1]] == ["j"]

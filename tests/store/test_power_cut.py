"""A power cut takes the last second: a run may be claimed twice under one number, and still only one of them counts."""

from __future__ import annotations

import pytest

from jobkit.errors import Fenced
from jobkit.states import Outcome
from jobkit.store import End
from tests.store.world import WORKER, World, holder

DONE = End(("finish",), Outcome.SUCCEEDED)


@pytest.mark.parametrize("other", [WORKER, "w2@host|boot2"])
def test_the_claim_that_was_forgotten_writes_nothing(world: World, other: str) -> None:
    world.submit()
    before = world.client.dump(world.keys.job("j"))
    world.claim(token="forgotten")
    world.client.restore(world.keys.job("j"), 0, before, replace=True)
    world.client.zrem(world.keys.key("state", "RUNNING"), "j")
    world.claim(token="known", worker=other)
    late = holder(1, "forgotten", WORKER)
    for act in (
        lambda: world.store.finish("j", late, DONE),
        lambda: world.store.write("j", late, {"checkpoint": "1"}),
    ):
        with pytest.raises(Fenced):
            act()
    assert world.store.finish("j", holder(1, "known", other), DONE).code == "ok"

"""Jobs by a key: what a submission becomes where one of its key waits or runs already."""

from __future__ import annotations

from typing import Any

import pytest

from jobkit.states import Outcome
from jobkit.store import End
from jobkit.store.coalescing import coalesce
from tests.store.world import NOW, World, holder, plan

DONE = End(("finish",), Outcome.SUCCEEDED)


class Keyed:
    """Submissions of one key, each with a message of its own."""

    def __init__(self, world: World) -> None:
        self.world, self.asked = world, 0

    def ask(self, how: str, wait: float = 0.0, most: float | None = None) -> str:
        self.asked += 1
        message = f'{{"n": {self.asked}}}'
        verdict, why = coalesce(
            self.world.store, plan(message=message), how, wait, most, "client", "", f"op{self.asked}"
        )
        return f"refused: {why}" if verdict.code == "refused" else verdict.code

    def start(self, run: int) -> None:
        assert self.world.claim(run=run).code == "ok"

    def end(self, run: int) -> None:
        self.world.store.finish("j", holder(run), DONE)

    @property
    def job(self) -> dict[str, Any]:
        return self.world.record()

    @property
    def due(self) -> float:
        """Seconds until it starts, 0 where it may now."""
        return (int(self.job.get("start") or 0) - NOW) / 1000 if self.job["state"] == "WAITING_FOR_START" else 0


@pytest.fixture
def key(world: World) -> Keyed:
    return Keyed(world)


def test_drop(key: Keyed) -> None:
    assert [key.ask("drop"), key.ask("drop")] == ["queued", "refused: QUEUED"]
    key.start(1)
    assert key.ask("drop") == "refused: RUNNING"
    key.end(1)
    assert key.ask("drop") == "queued"
    assert key.job["run"] == "2"


def test_again(key: Keyed) -> None:
    assert [key.ask("again"), key.ask("again")] == ["queued", "joined"]
    key.start(1)
    assert [key.ask("again"), key.ask("again")] == ["requeued", "joined"]
    key.end(1)
    assert (key.job["run"], key.job["state"], key.job["message"]) == ("2", "QUEUED", '{"n": 3}')


def test_replace_has_the_newest_arguments(key: Keyed) -> None:
    assert [key.ask("replace"), key.ask("replace")] == ["queued", "replaced"]
    assert (key.job["run"], key.job["message"]) == ("2", '{"n": 2}')
    key.start(2)
    assert [key.ask("replace"), key.ask("replace")] == ["requeued", "replaced"]
    key.end(2)
    assert (key.job["run"], key.job["state"], key.job["message"]) == ("3", "QUEUED", '{"n": 4}')
    assert "REPLACED" in key.world.states()
    key.world.check()


def test_debounce_waits_for_quiet_but_not_for_ever(key: Keyed) -> None:
    assert key.ask("debounce", 5, 12) == "queued"
    assert key.due == 5
    for second in (4, 8):
        key.world.advance(4_000)
        assert key.ask("debounce", 5, 12) == "replaced"
        assert key.due == min(second + 5, 12)
    key.world.advance(4_000)
    key.world.store.take("keeper")
    assert (key.job["state"], key.job["message"]) == ("QUEUED", '{"n": 3}')
    key.start(3)
    assert key.ask("debounce", 5, 12) == "requeued"
    key.world.advance(10_000)
    assert key.ask("debounce", 5, 12) == "replaced"
    key.end(3)
    assert key.due == 12 + 12  # the first who asked while it ran
    key.world.check()


def test_throttle_keeps_two_starts_apart(key: Keyed) -> None:
    assert key.ask("throttle", 10) == "queued"
    key.start(1)
    key.end(1)
    key.world.store.forget("j")
    key.world.advance(2_000)
    assert key.ask("throttle", 10) == "queued"
    assert key.due == 10
    key.world.advance(2_000)
    assert key.ask("throttle", 10) == "replaced"
    assert (key.due, key.job["message"]) == (10, '{"n": 3}')
    key.world.advance(6_000)
    key.world.store.take("keeper")
    key.start(int(key.job["run"]))
    assert key.ask("throttle", 10) == "requeued"
    key.end(int(key.job["run"]))
    assert key.due == 20


def test_a_key_that_was_quiet_starts_at_once(key: Keyed) -> None:
    key.ask("throttle", 0.05)
    key.start(1)
    key.end(1)
    key.world.client.delete(key.world.keys.key("throttled", "j"))  # its time is Redis's own
    assert key.ask("throttle", 0.05) == "queued"
    assert key.due == 0

"""A script is called on a connection of redis-py, past what its commands of any kind need besides."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from tests.store.world import World


def test_who_traces_commands_sees_scripts_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, plain = list[Any](), Redis.execute_command

    def traced(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(args[0])
        return plain(self, *args, **options)

    monkeypatch.setattr(Redis, "execute_command", traced)
    world.submit()
    assert "EVALSHA" in seen


def test_a_connection_that_redis_has_closed_is_opened_again(world: World) -> None:
    world.submit()
    world.store.client.client_kill_filter(_type="normal", skipme=False)
    world.claim()
    assert world.states()[-1] == "RUNNING"

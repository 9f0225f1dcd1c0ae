"""The network is cut, slow and loses things (N1, N2, N4, N5): over a wire that can be hurt, without rights of root."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from jobkit.states import State
from jobkit.testing import eventually
from tests.brokers import kind
from tests.chaos.evidence import END, REFUSED, START
from tests.chaos.size import only_full, size
from tests.chaos.stage import Stage, Worker
from tests.chaos.wire import Wire

S = State


@contextmanager
def wired(stage: Stage, number: int = 2, **options: Any) -> Iterator[list[tuple[Wire, Worker]]]:
    """So many workers, each with a wire of its own."""
    with ExitStack() as open_wires:
        found = []
        for seed in range(number):
            wire = open_wires.enter_context(closing(Wire(stage.server.url, seed)))
            wires = ("broker", "store") if kind() != "rabbitmq" else ("store",)
            urls: dict[str, Any] = {name: wire.url(stage.config[name]) for name in wires}
            found.append((wire, stage.start(**urls, **options)))
        yield found
        for worker in stage.workers:
            worker.clean_up()  # before its wire


@pytest.mark.parametrize("leases", [3.0, *only_full([0.4])])
def test_n1_a_worker_is_cut_off(stage: Stage, leases: float) -> None:
    with wired(stage, 2, concurrency=4) as [(wire, cut), (_, other)]:
        handles = [stage.submit("steps", 40, 0.1) for _ in range(4)]
        began = stage.started(*handles)
        its = {line.job for line in began if line.worker == cut.name}
        wire.held = True
        mine = [one.id for one in handles if one.id in its and one.job.state is S.RUNNING]
        assert mine
        time.sleep(2.0 * leases)  # the fault
        if leases > 1:
            eventually(lambda: all(one.job.run > 1 for one in handles if one.id in mine), 30, "nobody has taken over")
        wire.held = False
        assert stage.judge(60) == []
        assert cut.alive is False  # ended by the judge, with all others: not before
        for handle in handles:
            assert handle.job.state is S.FINISHED
            if handle.id in mine and leases > 1:
                # RabbitMQ, which is not cut off, goes on to give messages to both.
                assert kind() == "rabbitmq" or stage.evidence.of(handle.id, START)[1].worker == other.name
                assert stage.evidence.of(handle.id, REFUSED) or stage.evidence.of(handle.id, END)
            else:
                assert handle.job.run == 1


def test_n2_answers_and_requests_are_lost(stage: Stage) -> None:
    with wired(stage, 2) as wires:
        for wire, _ in wires:
            wire.lost_answers = wire.lost_requests = 0.02
        handles = [stage.submit("steps", 4, 0.02) for _ in range(size(12, 500))]
        handles += [stage.submit("fails", 1, 0.02) for _ in range(size(6, 100))]
        stage.all_end(size(60, 400))
        lost = sum(wire.lost for wire, _ in wires)
        for wire, _ in wires:
            wire.lost_answers = wire.lost_requests = 0.0
        assert stage.judge(60) == []
        print("lost on the wire:", lost)
        assert lost >= size(3, 50)
        assert all(handle.job.state is S.FINISHED for handle in handles)


def test_n2_a_worker_whose_acknowledgements_are_lost_goes_on(stage: Stage) -> None:
    with wired(stage, 1, concurrency=1) as [(wire, _)]:
        wire.unanswered = [b"HDEL"] * 2
        handles = [stage.submit("plain", 0.02) for _ in range(6)]
        assert stage.judge(30) == []
        assert wire.unanswered == []
        assert [handle.job.run for handle in handles] == [1] * 6


def test_n4_the_network_is_slow_and_resets(stage: Stage) -> None:
    with wired(stage, 2) as wires:
        for wire, _ in wires:
            wire.delay, wire.resets = (0.01, 0.04), 0.005
        handles = [stage.submit("plain", 0.05) for _ in range(20)] + [stage.submit("steps", 4, 0.05) for _ in range(4)]
        stage.all_end(60)
        for wire, _ in wires:
            wire.delay, wire.resets = (0.0, 0.0), 0.0
        assert stage.judge(60) == []
        assert [handle.job.run for handle in handles] == [1] * 24


def test_n5_redis_takes_no_more_connections(stage: Stage) -> None:
    workers = [stage.start(concurrency=2) for _ in range(3)]
    handles = [stage.submit("plain", 0.2) for _ in range(10)]
    stage.started(handles[0])
    stage.redis.config_set("maxclients", 10)
    for client in stage.redis.client_list(_type="normal")[:-1]:
        if client["id"] != str(stage.redis.client_id()):
            stage.redis.client_kill_filter(_id=client["id"])
    time.sleep(3)  # the fault
    stage.redis.config_set("maxclients", 1000)
    handles += [stage.submit("plain", 0.2) for _ in range(20)]
    assert stage.judge(60) == []
    assert all(handle.job.state is S.FINISHED for handle in handles)
    eventually(lambda: all(worker.ended() for worker in workers))
    assert len({line.worker for line in stage.evidence.lines(START)}) == 3

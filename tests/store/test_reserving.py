"""What a worker takes off its queues is its own from that moment on, and nobody's loss when it dies."""

from __future__ import annotations

import json
from typing import Any

from redis import Redis

from jobkit.states import Outcome
from jobkit.store import End, Put, blocks, workers
from tests.store.world import WORKER, World, holder, plan

DEAD = "w2@host|boot2"


def message(job_id: str, run: int | None = 1, text: str = "") -> str:
    """As kombu writes one."""
    headers: dict[str, Any] = {"lang": "py", "task": "shop.pack", "id": job_id, "argsrepr": text}
    if run is not None:
        headers["job_run"] = run
    info = {"exchange": "", "routing_key": "q"}
    return json.dumps(
        {"body": "W10=", "headers": headers, "properties": {"delivery_tag": f"tag {job_id}", "delivery_info": info}}
    )


def submit(world: World, job_id: str = "j", queue: str = "q", **options: Any) -> None:
    world.store.create(plan(job_id, **options), "client", put=Put(queue, message(job_id)))


def reserve(world: World, *queues: str, room: int = 9, share: int = 9, worker: str = WORKER, popped: Any = ()) -> Any:
    parts = iter(
        world.store.run("reserve", worker, room, share, "", "unacked", "index", 5, len(popped), *popped, *queues)
    )
    return [
        (queue.decode(), json.loads(text)["headers"]["id"], bool(held))
        for queue, text, held in zip(parts, parts, parts, strict=True)
    ]


def reserve_all(world: World) -> Any:
    found = []
    while more := reserve(world, "q"):
        found += more
    return found


def run_in(world: World, queue: str = "q") -> list[int]:
    return [json.loads(text)["headers"]["job_run"] for text in world.client.lrange(queue, 0, -1)]


def test_a_job_and_its_message_are_written_at_once(world: World) -> None:
    submit(world)
    assert world.states() == ["QUEUED"]
    assert world.client.lrange("q", 0, -1) == [message("j").encode()]


def test_what_is_not_to_start_yet_puts_no_message(world: World) -> None:
    submit(world, "later", start=world.now + 1000)
    submit(world, "idle", suspended=True)
    submit(world, "j")
    submit(world, "behind", after="j")
    assert [one["headers"]["id"] for one in map(json.loads, world.client.lrange("q", 0, -1))] == ["j"]


def test_what_is_sent_twice_is_put_once(world: World) -> None:
    for _ in range(2):
        world.store.create(plan(), "client", op="op1", put=Put("q", message("j")))
    assert world.client.llen("q") == 1


def test_the_message_is_for_the_run_that_was_recorded(world: World) -> None:
    submit(world)
    submit(world)  # replaced: its second run
    world.claim(run=2)
    submit(world)  # kept as its next run: published when this one ends
    assert run_in(world) == [2, 1]


def test_a_run_number_inside_of_the_arguments_is_left_alone(world: World) -> None:
    submit(world)
    text = message("j", text='"job_run": 1')
    world.store.create(plan(), "client", put=Put("q", text))
    found = json.loads(world.client.lindex("q", 0))["headers"]
    assert (found["argsrepr"], found["job_run"]) == ('"job_run": 1', 2)


def test_the_message_goes_into_the_database_of_its_broker(world: World) -> None:
    kwargs = world.client.connection_pool.connection_kwargs
    other = kwargs["db"] % 15 + 1
    world.store.create(plan(), "client", put=Put("q", message("j"), str(other)))
    assert world.client.llen("q") == 0
    reserve = world.store.command("reserve", WORKER, 9, 9, kwargs["db"], "u", "i", 5, 0, "q", load=True)
    with Redis(host=kwargs["host"], port=kwargs["port"], password=kwargs["password"], db=other) as broker:
        assert broker.llen("q") == 1
        taken: Any = broker.execute_command(*reserve)
        assert len(taken) == 3
        broker.flushdb()
    assert (world.states(), world.holds("held", WORKER)) == (["QUEUED"], {"j"})


def test_a_reserved_job_is_held(world: World) -> None:
    for job_id in ("one", "two"):
        submit(world, job_id)
    assert reserve_all(world) == [("q", "one", True), ("q", "two", True)]
    assert world.holds("held", WORKER) == {"one", "two"}
    assert world.client.exists("q", "unacked", "index") == 0


def test_half_of_what_waits_is_left_to_others_and_what_waits_goes_before_the_next_queue(world: World) -> None:
    for n in range(7):
        submit(world, f"a{n}", "a")
        submit(world, f"b{n}", "b")
    for queues, room, share, expected in (
        ("ab", 3, 9, ["a0", "a1", "a2"]),
        ("ab", 9, 9, ["a3", "a4"]),
        ("ba", 9, 2, ["b0", "b1"]),
        ("ab", 0, 9, []),
        ("a", 9, 9, ["a5"]),
        ("ab", 9, 9, ["a6", "b2", "b3", "b4"]),
    ):
        assert [job_id for _, job_id, _ in reserve(world, *queues, room=room, share=share)] == expected


def test_a_message_without_a_record_is_kept_as_kombu_keeps_it(world: World) -> None:
    world.client.lpush("q", message("stranger", run=None), message('a"quote'))
    assert [held for _, _, held in reserve_all(world)] == [False, False]
    assert world.holds("held", WORKER) == set()
    raw, exchange, routing_key = json.loads(world.client.hget("unacked", "tag stranger"))
    assert (raw, exchange, routing_key) == (json.loads(message("stranger", run=None)), "", "q")
    assert world.client.zscore("index", "tag stranger") == 5
    assert world.client.hlen("unacked") == 2


def test_what_cannot_be_read_is_handed_on(world: World) -> None:
    world.client.lpush("q", "no message at all")
    assert world.store.run("reserve", WORKER, 9, 9, "", "unacked", "index", 5, 0, "q")[1:] == [b"no message at all", 0]


def test_what_was_taken_by_other_means_is_held_from_the_next_call_on(world: World) -> None:
    submit(world)
    reserve(world, popped=["j"])
    assert world.holds("held", WORKER) == {"j"}


def test_what_a_dead_worker_had_reserved_is_owed_at_once(world: World) -> None:
    submit(world)
    reserve(world, "q", worker=DEAD)
    workers.beat(world.store, DEAD, 10)
    world.advance(10_001)
    assert workers.rescue(world.store, WORKER, 9) == []
    assert [job_id for job_id, _, _ in world.store.take("keeper")[1]] == ["j"]
    assert world.holds("held", DEAD) == set()


def test_what_a_living_worker_has_lost_is_owed_and_what_it_runs_is_not(world: World) -> None:
    submit(world)
    submit(world, "runs")
    reserve_all(world)
    world.claim("runs")
    for job_id in ("j", "runs"):
        workers.disown(world.store, WORKER, job_id)
    assert [job_id for job_id, _, _ in world.store.take("keeper")[1]] == ["j"]
    assert world.holds("held", WORKER) == {"runs"}


def test_what_is_put_back_is_not_held_and_what_runs_is_not_put_back(world: World) -> None:
    for job_id in ("j", "runs", "lost"):
        submit(world, job_id)
    reserve_all(world)
    world.claim("runs")
    workers.disown(world.store, WORKER, "lost")  # owed from now on
    back = {one: workers.hand_back(world.store, WORKER, one, [("R", Put("q", one))]) for one in ("j", "runs", "lost")}
    assert back == {"j": True, "runs": False, "lost": False}
    assert world.client.lrange("q", 0, -1) == [b"j"]
    assert world.holds("held", WORKER) == {"runs"}


def test_a_job_that_has_ended_is_held_by_nobody(world: World) -> None:
    submit(world)
    reserve(world, "q")
    world.claim()
    world.store.finish("j", holder(), End(("finish",), Outcome.SUCCEEDED))
    assert world.holds("held", WORKER) == set()


def test_a_job_that_turns_out_to_be_blocked_is_not_held(world: World) -> None:
    submit(world, host="eu")
    reserve(world, "q")
    world.store.run("block", "host eu", "[]")
    assert world.store.claim("j", 1, "t", WORKER, 7, redelivered=False, plan=plan()).code == "blocked"
    assert world.holds("held", WORKER) == set()


def test_what_is_blocked_before_its_message_comes_is_not_held_either(world: World) -> None:
    submit(world, host="eu")
    reserve(world, "q")
    blocks.block(world.store, "host", "eu", "offline", "no power", None, "tester")
    assert (world.claim().code, world.states()[-1]) == ("refused", "HOST_BLOCKED")
    assert world.holds("held", WORKER) == set()


def test_a_second_delivery_takes_nothing_from_who_runs_or_removes_it_here(world: World) -> None:
    for job_id in ("runs", "goes"):
        submit(world, job_id)
    reserve_all(world)
    world.claim("runs")
    world.store.remove("goes", "tester")
    for job_id, code in (("runs", "refused"), ("goes", "removing"), ("goes", "removing")):
        assert world.claim(job_id, token="second").code == code
    assert world.holds("held", WORKER) == {"runs", "goes"}

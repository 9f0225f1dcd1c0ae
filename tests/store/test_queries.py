"""Pages that miss and repeat nothing, whatever is asked for, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from jobkit.embedded import EmbeddedRedis
from jobkit.errors import InvalidOption
from jobkit.states import State
from jobkit.store import queries
from tests.store.world import NOW, World, reader

TASKS, OWNERS, TAGS = ("shop.pack", "shop.send"), ("alice", "bob", "carol"), ("red", "green", "blue")
CROWD = (State.QUEUED, State.RUNNING, State.FINISHED)
MANY = 2400


def crowd(world: World, count: int = MANY) -> list[dict[str, Any]]:
    """Very many jobs, hundreds of them in the same millisecond, spread over states, tasks, owners and tags."""
    jobs = []
    with world.client.pipeline(transaction=False) as pipe:
        for n in range(count):
            # Scattered, so that neither the order of ids nor that of states is that of time.
            job: dict[str, Any] = {
                "id": f"j{n * 7919 % count:05}",
                "state": CROWD[n * 31 % 3],
                "task": TASKS[n % 2],
                "owner": OWNERS[n % 3],
                "tags": (TAGS[n % 3], TAGS[(n + 1) % 3]),
                "at": NOW + n // 1700,
            }
            jobs.append(job)
            fields: dict[str, Any] = {
                "state": job["state"].value,
                "run": 1,
                "task": job["task"],
                "owner": job["owner"],
                "since": NOW,
            }
            pipe.hset(world.keys.job(job["id"]), mapping={**fields, "tags": "\n".join(job["tags"])})
            pipe.zadd(world.keys.state(job["state"]), {job["id"]: job["at"]})
            pipe.zadd(world.keys.key("owner", job["owner"]), {job["id"]: job["at"]})
            for tag in job["tags"]:
                pipe.zadd(world.keys.key("tag", tag), {job["id"]: job["at"]})
        pipe.execute()
    return jobs


def pages(world: World, limit: int = 100, **query: Any) -> Iterator[list[str]]:
    """The ids of page after page."""
    cursor = None
    for _ in range(500):
        rows, cursor = queries.page(world.store, limit=limit, cursor=cursor, **query)
        yield [job_id for job_id, _ in rows]
        if cursor is None:
            return
    raise AssertionError("the pages do not end")


QUERIES: dict[str, tuple[dict[str, Any], Any]] = {
    "all": ({}, lambda job: True),
    "a state": ({"states": (State.RUNNING,)}, lambda job: job["state"] is State.RUNNING),
    "two states": (
        {"states": (State.FINISHED, State.QUEUED)},
        lambda job: job["state"] in (State.FINISHED, State.QUEUED),
    ),
    "a task": ({"task": "shop.send"}, lambda job: job["task"] == "shop.send"),
    "an owner": ({"owner": "bob"}, lambda job: job["owner"] == "bob"),
    "a tag": ({"tag": "green"}, lambda job: "green" in job["tags"]),
    "everything": (
        {"states": CROWD, "task": "shop.pack", "owner": "carol", "tag": "blue"},
        lambda job: (job["task"], job["owner"], "blue" in job["tags"]) == ("shop.pack", "carol", True),
    ),
    "owner and state": (
        {"states": (State.QUEUED,), "owner": "alice"},
        lambda job: (job["state"], job["owner"]) == (State.QUEUED, "alice"),
    ),
    "tag and task": (
        {"tag": "red", "task": "shop.send"},
        lambda job: "red" in job["tags"] and job["task"] == "shop.send",
    ),
    "nobody": ({"owner": "nobody"}, lambda job: False),
    "nothing of this": ({"states": (State.KILLED,)}, lambda job: False),
}


@pytest.fixture(scope="module")
def crowded(jobkit_redis: EmbeddedRedis) -> Iterator[tuple[World, list[dict[str, Any]]]]:
    """The crowd in a database of its own, which nobody writes to."""
    with Redis.from_url(jobkit_redis.fresh_url()) as client:
        world = World(client)
        yield world, crowd(world)


@pytest.mark.parametrize("name", QUERIES)
def test_paging_repeats_and_misses_nothing(crowded: tuple[World, list[dict[str, Any]]], name: str) -> None:
    query, fits = QUERIES[name]
    world, jobs = crowded
    before = world.indexes()
    for limit in (100, 1000):
        found = [job_id for page in pages(world, limit, **query) for job_id in page]
        assert not [job_id for job_id, times in Counter(found).items() if times > 1]
        assert set(found) == {job["id"] for job in jobs if fits(job)}
        at = {job["id"]: job["at"] for job in jobs}
        assert [at[job_id] for job_id in found] == sorted((at[job_id] for job_id in found), reverse=True)
    assert world.indexes() == before


def test_pages_of_one_job_each(world: World) -> None:
    jobs = crowd(world, 60)
    found = list(pages(world, 1))
    assert {len(page) for page in found[:-1]} == {1}
    assert sorted(job_id for page in found for job_id in page) == sorted(job["id"] for job in jobs)


def test_states_may_come_in_any_order_from_page_to_page(world: World) -> None:
    """A set of states has no order, and another process another one."""
    crowd(world, 300)
    first, cursor = queries.page(world.store, states=CROWD, limit=100, cursor=None)
    rest, end = queries.page(world.store, states=CROWD[::-1], limit=1000, cursor=cursor)
    assert end is None
    assert len({job_id for job_id, _ in (*first, *rest)}) == len(first) + len(rest) == 300


def test_a_page_goes_on_where_the_last_job_has_moved_away(world: World) -> None:
    crowd(world, 300)
    first, cursor = queries.page(world.store, states=(State.QUEUED,), limit=50)
    last = first[-1][0]
    world.client.zrem(world.keys.state(State.QUEUED), last)
    world.client.hset(world.keys.job(last), "state", "RUNNING")
    world.client.zadd(world.keys.state(State.RUNNING), {last: NOW + 99})
    rest, _ = queries.page(world.store, states=(State.QUEUED,), limit=1000, cursor=cursor)
    assert {job_id for job_id, _ in (*first, *rest)} == {*world.holds("state", "QUEUED"), last}


def test_records_that_have_expired_disappear_from_the_indexes(world: World) -> None:
    jobs = crowd(world, 1200)
    for job in jobs[::2]:
        world.client.delete(world.keys.job(job["id"]))
    queries_: list[dict[str, Any]] = [{}, {"owner": "bob"}, {"tag": "green"}]
    for query in queries_:
        found = [job_id for page in pages(world, 70, **query) for job_id in page]
        assert len(found) == len(set(found))
        assert set(found) <= {job["id"] for job in jobs[1::2]}
    everyone = [job_id for page in pages(world, 70) for job_id in page]
    assert sorted(everyone) == sorted(job["id"] for job in jobs[1::2])


def test_a_page_of_nothing_but_expired_records_is_not_the_end(world: World) -> None:
    jobs = sorted(crowd(world, 1600), key=lambda job: (job["at"], job["id"]))
    for job in jobs[1:]:
        world.client.delete(world.keys.job(job["id"]))
    assert [job_id for page in pages(world, 10) for job_id in page] == [jobs[0]["id"]]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "~",
        "x",
        "12",
        "12~",
        "~j",
        "x~j",
        "-1~j",
        "1e9~j",
        "²~j",
        "٣~j",
        "+inf~",
        "9" * 400 + "~j",
        "1~x~j",
        "\0",
        "1.5~j",
    ],
)
def test_a_cursor_that_is_none_is_refused(world: World, cursor: str) -> None:
    crowd(world, 9)
    with pytest.raises(InvalidOption, match="cursor="):
        queries.page(world.store, cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_bounds_is_refused(world: World, limit: int) -> None:
    with pytest.raises(InvalidOption, match="limit="):
        reader(world).query(limit=limit)


def test_an_unknown_state_is_refused_with_a_hint(world: World) -> None:
    with pytest.raises(InvalidOption, match="did you mean RUNNING"):
        reader(world).query(state="RUNING")


def test_counts(world: World) -> None:
    jobs = crowd(world, 301)
    counted = queries.counts(world.store)
    assert set(counted) == set(State)
    assert {state: n for state, n in counted.items() if n} == Counter(job["state"] for job in jobs)

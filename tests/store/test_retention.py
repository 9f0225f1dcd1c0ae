"""Which ended jobs are kept, which go first, and what is still known of those that went."""

from __future__ import annotations

import random
import uuid
from datetime import timedelta
from typing import Any

import pytest

from jobkit.errors import JobExpired, JobNotFound, JobUnknown
from jobkit.states import Outcome, State
from jobkit.store import End, Limits, Settled, records
from tests.store.world import NOW, World, holder, reader, when

KEEP = 300_000
DONE = End(("finish",), Outcome.SUCCEEDED, keep=KEEP)


def end(world: World, job_id: str, owner: str = "", how: End = DONE, **options: Any) -> None:
    """A job from its submission to its end, one ms each."""
    world.submit(job_id, owner=owner, **options)
    world.claim(job_id)
    world.advance(1)
    world.store.finish(job_id, holder(), how)


def left(world: World) -> set[str]:
    """The ids of the records that are there."""
    prefix = world.keys.job("")
    return {key.decode().removeprefix(prefix) for key in world.client.keys(prefix + "*")}


def gone(world: World, job_id: str) -> JobExpired:
    with pytest.raises(JobExpired) as caught:
        reader(world).get(job_id)
    return caught.value


def id_of(ms: int) -> str:
    """A UUID of version 7 that was made at this time."""
    value = (ms << 80) | random.getrandbits(76) | (7 << 76)
    return str(uuid.UUID(int=value & ~(3 << 62) | (2 << 62)))


# -- by time -------------------------------------------------------------------------------------------------------


def test_an_ended_job_stays_its_time_and_not_longer(world: World) -> None:
    end(world, "j")
    world.advance(KEEP - 1)
    assert world.store.prune() == (0, 0)
    world.advance(1)
    assert world.store.prune() == (1, 0)
    assert world.client.keys(world.keys.key("ended") + "*") == []
    world.check()


def test_the_time_does_not_grow_by_reading(world: World) -> None:
    end(world, "j")
    for _ in range(5):
        world.advance(KEEP // 5)
        if world.now < NOW + 1 + KEEP:
            reader(world).get("j")
    assert world.store.prune() == (1, 0)
    world.check()


def test_jobs_of_different_times_go_each_at_its_own(world: World) -> None:
    for n, keep in enumerate((500, 100, 300, 100)):
        end(world, f"j{n}", owner="ab"[n % 2], how=DONE._replace(keep=keep))
    for later, expected in ((100, {"j0", "j2"}), (200, {"j0"}), (200, set())):
        world.advance(later)
        world.store.prune()
        assert left(world) == expected
        world.check()


def test_redis_itself_lets_an_ended_job_expire_where_nobody_prunes(world: World) -> None:
    end(world, "j")
    assert KEEP < world.client.pttl(world.keys.job("j")) <= KEEP + 60_000


def test_a_live_job_never_expires(world: World) -> None:
    for state in State:
        if state.is_live:
            world.put(state, str(state))
    world.advance(10**10)
    assert world.store.prune(urgent=True) == (0, 0)
    assert all(world.client.pttl(world.keys.job(job_id)) == -1 for job_id in left(world))
    assert left(world) == {str(state) for state in State if state.is_live}


def test_one_round_is_bounded(world: World) -> None:
    for n in range(25):
        end(world, f"j{n}", owner=f"o{n % 4}")
    world.advance(KEEP)
    assert [world.store.prune(10).aged for _ in range(4)] == [10, 10, 5, 0]
    world.check()


# -- by room -------------------------------------------------------------------------------------------------------


def test_under_the_cap_the_least_recently_used_go_first(world: World) -> None:
    world.store.limits = Limits(jobs=5, least=0)
    for n in range(5):
        end(world, f"j{n}")
    for job_id in ("j1", "j0"):
        world.advance(1)
        reader(world).get(job_id)
    for n in range(5, 8):
        end(world, f"j{n}")
    assert left(world) == {"j0", "j1", "j5", "j6", "j7"}
    end(world, "j8")
    assert left(world) == {"j0", "j5", "j6", "j7", "j8"}
    world.check()


def test_the_order_is_exact_whatever_was_read(world: World) -> None:
    """Against a list that is sorted by hand: not sampled, not nearly."""
    world.store.limits = Limits(jobs=40, least=0)
    chance, used = random.Random(6), dict[str, int]()
    for n in range(400):
        end(world, f"j{n}")
        used[f"j{n}"] = world.now
        while len(used) > 40:
            del used[min(used, key=lambda job_id: used[job_id])]
        for job_id in chance.sample(sorted(used), min(3, len(used))):
            world.advance(1)
            reader(world).get(job_id)
            used[job_id] = world.now
        assert left(world) == used.keys()
    world.check()


def test_the_victim_is_of_the_owner_with_the_most_whoever_is_looked_at_when(world: World) -> None:
    world.store.limits = Limits(jobs=5, least=0)
    for n in range(4):
        end(world, f"most{n}", owner="most")
    world.advance(10_000)
    end(world, "last", owner="last")
    scores = world.client.zrange(world.keys.key("heads"), 0, -1)
    assert scores == [b"most", b"last"]
    end(world, "new", owner="new")
    assert left(world) == {"most1", "most2", "most3", "last", "new"}
    end(world, "newer", owner="new")
    assert left(world) == {"most2", "most3", "last", "new", "newer"}
    world.check()


def test_the_victim_is_of_the_owner_with_the_most(world: World) -> None:
    """R1: 4,000 jobs of one owner push out none of another's ten."""
    for n in range(10):
        end(world, f"b{n}", owner="b")
    ended = []
    world.store.limits = Limits(jobs=100, least=0)
    for n in range(500):
        end(world, f"a{n}", owner="a")
        ended.append(f"a{n}")
    assert left(world) == {*(f"b{n}" for n in range(10)), *ended[-90:]}
    assert gone(world, "a0").why == "cap"
    world.check()


def test_none_goes_before_the_least_time_for_want_of_room(world: World) -> None:
    world.store.limits = Limits(jobs=5, least=1_000)
    for n in range(20):
        end(world, f"j{n}")
    assert len(left(world)) == 20
    world.advance(990)
    assert world.store.prune() == (0, 10)
    world.advance(10)
    assert world.store.prune() == (0, 5)
    assert left(world) == {f"j{n}" for n in range(15, 20)}
    world.check()


def test_where_memory_is_at_stake_the_least_time_does_not_count(world: World) -> None:
    for n in range(20):
        end(world, f"j{n}")
    assert world.store.prune(8, urgent=True) == (0, 8)
    assert left(world) == {f"j{n}" for n in range(8, 20)}
    assert gone(world, "j0").why == "memory"
    world.check()


def test_bytes_are_bounded_and_the_owner_of_the_most_pays(world: World) -> None:
    world.store.limits = Limits(bytes=400_000)
    for n in range(20):
        end(world, f"b{n}", owner="b")
    for n in range(30):
        end(world, f"a{n}", owner="a", how=DONE._replace(meta='"' + "x" * 30_000 + '"'))
        held = int(world.client.hget(world.keys.key("retention"), "bytes"))
        assert held <= 400_000
        assert held == sum(int(world.record(job_id)["bytes"]) for job_id in left(world))
    assert {f"b{n}" for n in range(20)} < left(world)
    assert gone(world, "a0").why == "bytes"
    assert "bytes" not in records.job("a29", world.record("a29")).extra
    world.check()


def test_a_smaller_cap_is_reached_by_the_next_rounds(world: World) -> None:
    for n in range(50):
        end(world, f"j{n}")
    world.store.limits = Limits(jobs=10, least=0)
    assert [world.store.prune(15).evicted for _ in range(4)] == [15, 15, 10, 0]
    world.check()


def test_each_end_has_at_most_two_others_go(world: World) -> None:
    for n in range(50):
        end(world, f"j{n}")
    world.store.limits = Limits(jobs=10, least=0)
    end(world, "last")
    assert len(left(world)) == 49


def test_an_id_used_again_leaves_the_ended_ones(world: World) -> None:
    end(world, "j", owner="a")
    reader(world).get("j")
    world.submit("j", owner="b")
    world.check()
    world.store.limits = Limits(jobs=1, least=0)
    end(world, "k", owner="a")
    end(world, "l", owner="a")
    assert left(world) == {"j", "l"}
    world.check()


# -- gone is not unknown -------------------------------------------------------------------------------------------


def test_what_became_of_a_job_is_known_after_its_record_has_gone(world: World) -> None:
    failed = DONE._replace(verbs=("fail",), outcome=Outcome.FAILED, note="no\tdisk\nleft")
    end(world, "j", how=failed)
    world.advance(KEEP)
    world.store.prune()
    exc = gone(world, "j")
    assert (exc.state, exc.outcome, exc.message, exc.why) == (State.ERROR, Outcome.FAILED, "no\tdisk\nleft", "age")
    assert (exc.ended_at, exc.gone_at) == (when(1), when(1 + KEEP))
    assert "it ended ERROR at 2096-" in str(exc)
    assert "its time was over (jobkit_retention" in str(exc)


def test_every_question_about_it_says_so(world: World) -> None:
    end(world, "j")
    world.store.forget("j")
    client = reader(world)
    for ask in (client.get, client.history, client.runs, client.log, client.suspend, client.resume, client.abort):
        with pytest.raises(JobExpired, match="deleted"):
            ask("j")
    with pytest.raises(JobExpired):
        world.submit("k", after="j")
    with pytest.raises(JobExpired):
        next(iter(client.watch("j")))


def test_a_record_redis_took_is_known_to_be_gone(world: World) -> None:
    end(world, "j", owner="a")
    world.client.delete(world.keys.job("j"))
    world.advance(KEEP)
    assert world.store.prune() == (1, 0)
    exc = gone(world, "j")
    assert (exc.state, exc.ended_at, exc.why) == (State.FINISHED, when(1), "memory")
    assert not world.indexed("j")
    world.check()


def test_a_record_redis_took_after_it_was_read_goes_from_every_index(world: World) -> None:
    end(world, "j", owner="a")
    world.advance(5)
    reader(world).get("j")
    world.client.delete(world.keys.job("j"))
    world.advance(KEEP + 5)
    world.store.prune()
    world.store.prune()
    assert not world.indexed("j")
    assert not world.holds("read")
    world.check()


def test_what_is_known_is_bounded_in_number(world: World) -> None:
    world.store.limits = Limits(jobs=1, least=0, gone_jobs=20)
    for n in range(200):
        end(world, id_of(world.now))
        entries = sum(world.client.hlen(key) for key in world.client.keys(world.keys.key("gone") + "*"))
        assert entries <= 20
        assert entries >= min(n - 1, 10)


def test_what_is_known_is_bounded_in_time(world: World) -> None:
    world.store.limits = Limits(gone_ms=60_000)
    end(world, "j")
    world.store.forget("j")
    ttl = world.client.pttl(world.keys.key("gone", "1"))
    assert 0 < ttl <= 60_000


def test_an_id_that_was_never_submitted_is_unknown_as_long_as_all_those_gone_are_known(world: World) -> None:
    end(world, id_of(world.now))
    world.advance(KEEP)
    world.store.prune()
    for ms in (NOW - 10**9, NOW, world.now, world.now + 10**9):
        with pytest.raises(JobUnknown):
            reader(world).get(id_of(ms))


def test_of_an_id_too_old_to_be_known_it_is_said_that_it_may_have_been(world: World) -> None:
    world.store.limits = Limits(jobs=1, least=0, gone_jobs=20)
    first = world.now
    for _ in range(200):
        end(world, id_of(world.now))
        world.advance(10_000)
    exc = gone(world, id_of(first + 3_000))
    assert (exc.state, exc.outcome, exc.ended_at, exc.why) == (None, None, None, "unknown")
    assert "too long ago to know more" in str(exc)
    for never in (id_of(first - 120_000), id_of(world.now), id_of(world.now + 10**9), "j", str(uuid.uuid4())):
        with pytest.raises(JobUnknown):
            reader(world).get(never)


@pytest.mark.parametrize("half", [1, 2])
def test_a_half_of_the_book_that_redis_took_makes_its_jobs_too_old_to_know(world: World, half: int) -> None:
    world.store.limits = Limits(jobs=1, least=0, gone_jobs=20)
    ids = []
    for _ in range(15):
        ids.append(id_of(world.now))
        end(world, ids[-1])
        world.advance(1_000)
    assert {gone(world, job_id).why for job_id in ids[:14]} == {"cap"}
    world.client.delete(world.keys.key("gone", str(half)))
    assert {gone(world, job_id).why for job_id in ids[:14]} == {"cap", "unknown"}
    world.advance(120_000)
    with pytest.raises(JobUnknown):
        reader(world).get(id_of(world.now))


def test_a_job_that_is_submitted_anew_is_no_longer_gone(world: World) -> None:
    end(world, "j")
    world.store.forget("j")
    world.submit("j")
    assert reader(world).get("j").state is State.QUEUED


def test_the_errors_are_one_kind(world: World) -> None:
    end(world, "j")
    world.store.forget("j")
    for job_id in ("j", "nobody"):
        with pytest.raises(JobNotFound):
            reader(world).get(job_id)
        with pytest.raises(LookupError):
            reader(world).get(job_id)


def test_a_late_end_of_a_job_that_has_gone_is_refused(world: World) -> None:
    end(world, "j")
    world.store.forget("j")
    with pytest.raises(JobExpired):
        world.store.finish("j", Settled(1, "tok1", "w9|b"), DONE)


def test_its_time_is_told_in_utc(world: World) -> None:
    end(world, "j")
    world.store.forget("j")
    ended = gone(world, "j").ended_at
    assert ended is not None
    assert ended.utcoffset() == timedelta(0)

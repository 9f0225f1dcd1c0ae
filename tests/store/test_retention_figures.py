"""What `python -m benchmarks.retention` shows at full size, at a size every run of the tests can bear."""

from __future__ import annotations

import pytest

from benchmarks import retention

WITHIN = 0.05
#: Redis makes room before a command, or a whole script, which then takes what it needs: that much it may be over.
OVER = 1.01


def test_after_many_jobs_and_a_while_nothing_is_left() -> None:
    found = retention.idle(2_000)
    assert found["keys after"] <= found["keys before"]
    assert found["memory after"] <= found["memory before"] * (1 + WITHIN)


def test_who_is_pinned_stays_and_of_who_went_the_truth_is_said() -> None:
    found = retention.mixed(1_000, pinned=10)
    print(found)
    right = ("pinned still there", "expired, and said so", "unknown, and said so")
    assert [found[what] for what in right] == [1.0] * 3
    assert found["keys after"] <= found["keys before"]
    assert found["memory after"] <= found["memory before"] * (1 + 2 * WITHIN)  # of next to nothing


def test_at_ten_times_the_cap_what_is_read_stays_and_the_cap_is_held() -> None:
    found = retention.cap(1_000, readers=20)
    assert found["held at most"] <= found["room"] * 1.01
    stay = ("touched still there", "newest still there", "live still there", "of the other owner still there")
    assert [found[what] for what in stay] == [1.0] * 4
    assert found["older still there"] == 0


@pytest.mark.parametrize("keeper", [True, False])
def test_a_full_redis_takes_no_live_job_and_no_lock_and_goes_on(keeper: bool) -> None:
    found = retention.full(live=200, ended=3_000, megabytes=6, keeper=keeper)
    assert (found["live still there"], found["locks still held"], found["submits refused"]) == (1.0, 1.0, 0)
    assert found["memory of maxmemory"] <= OVER
    assert found["taken by Redis"] > 0 or keeper


def test_an_end_takes_as_many_commands_however_many_are_held() -> None:
    none, many = retention.cost(0, sample=200), retention.cost(5_000, sample=200)
    assert many["commands in an end"] == pytest.approx(none["commands in an end"], abs=0.1)
    assert retention.cost(5_000, sample=200, room=5_000)["commands in an end"] < 3 * none["commands in an end"]


def test_the_bytes_of_an_ended_job_are_shown_beside_celerys() -> None:
    found = retention.size(300)
    assert found["of it keys and values"] < found["bytes an ended job"] < 4_000
    assert found["Celery's result key"] > 0

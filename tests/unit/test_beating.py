"""What a beat decides about a slot: fire it, run it late, run the last one missed, or pass on."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from jobkit.definitions import Definition
from jobkit.services.beating import decided
from jobkit.store.definitions import Step

BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def ms(seconds: float) -> int:
    return round((BEGIN.timestamp() + seconds) * 1000)


def decide(late: float, **options: Any) -> Step:
    """The slot at 0 of something that runs every ten seconds, looked at so late."""
    one = Definition("one", "shop.pack", schedules=(10,), grace=5, **options)  # type: ignore[arg-type]
    return decided(one, ms(0), ms(0), BEGIN + timedelta(seconds=late))


@pytest.mark.parametrize("misfire", ["SKIP", "ONCE", "ALL"])
def test_a_slot_in_time_fires_whatever_the_policy(misfire: str) -> None:
    assert decide(5, misfire=misfire, overlap="BUFFER") == Step(ms(0), ms(10), ms(10), "fire", "buffer")


def test_skip_passes_over_what_was_missed() -> None:
    assert decide(26, misfire="SKIP") == Step(ms(0), ms(30), ms(30), "pass", "skip", 3)


def test_what_is_late_by_more_than_the_grace_is_missed() -> None:
    assert decide(5.001, misfire="SKIP") == Step(ms(0), ms(10), ms(10), "pass", "skip", 1)


def test_what_is_still_in_time_is_not_missed() -> None:
    assert decide(24, misfire="SKIP") == Step(ms(0), ms(20), ms(20), "pass", "skip", 2)


def test_once_makes_one_run_of_all_that_were_missed() -> None:
    assert decide(26, misfire="ONCE") == Step(ms(0), ms(30), ms(30), "fire", "skip", 2)


def test_all_makes_a_run_of_each_one_after_the_other() -> None:
    assert decide(26, misfire="ALL") == Step(ms(0), ms(10), ms(10), "fire", "wait")


@pytest.mark.parametrize(("misfire", "act", "missed"), [("SKIP", "pass", 11), ("ONCE", "fire", 10), ("ALL", "pass", 9)])
def test_the_catch_up_window_bounds_what_is_run_late(misfire: str, act: str, missed: int) -> None:
    step = decide(106, misfire=misfire, catch_up=20)
    assert (step.act, step.missed) == (act, missed)
    assert step.following == ms({"ALL": 90}.get(misfire, 110))


def test_once_runs_nothing_when_all_that_was_missed_is_too_old() -> None:
    step = decide(106, misfire="ONCE", catch_up=2)
    assert (step.act, step.missed, step.following) == ("pass", 11, ms(110))


def test_an_outage_of_a_year_is_no_work() -> None:
    assert decide(366 * 86_400 + 6, misfire="ONCE").act == "fire"


def test_the_jitter_of_a_slot_does_not_make_it_late() -> None:
    one = Definition("one", "shop.pack", schedules=(10,), grace=1, misfire="SKIP")  # type: ignore[arg-type]
    assert decided(one, ms(0), ms(8), BEGIN + timedelta(seconds=8.5)).act == "fire"

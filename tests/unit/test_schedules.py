"""Schedules, minute by minute through whole years, against dateutil's own time zones."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import islice
from typing import Any

import pytest
from celery import schedules as celery_schedules
from celery.schedules import crontab, solar
from dateutil import rrule, tz
from hypothesis import given
from hypothesis import strategies as st

from jobkit import InvalidOption
from jobkit.schedules import Schedule, next_slot, next_slots, schedule

UTC = timezone.utc
#: Minutes: what the references look at is a multiple of it.
STEP = 5
ZONES = ("Europe/Berlin", "America/New_York")
#: Besides those: half an hour of change, a left out day, none, the south, a change in the other direction for a month.
MORE = ("Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "America/Santiago", "Africa/Casablanca")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(slots: Any, zone: str) -> list[str]:
    """Slots as people there read them."""
    return [f"{slot.astimezone(tz.gettz(zone)):%m-%d %H:%M %z}" for slot in slots]


def year_of(made: Schedule, year: int) -> list[datetime]:
    return list(made.between(at(f"{year}-01-01"), at(f"{year + 1}-01-01")))


def once_each(zone: str, year: int, fits: Any) -> list[datetime]:
    """The reference for wall-clock times that fire once: each minute of each day there, resolved by dateutil."""
    where, found = tz.gettz(zone), set()
    day = datetime(year, 1, 1) - timedelta(days=2)
    while day < datetime(year + 1, 1, 3):
        for minute in range(0, 24 * 60, STEP):
            wall = day + timedelta(minutes=minute)
            if fits(wall):
                found.add(tz.resolve_imaginary(wall.replace(tzinfo=where, fold=0)).astimezone(UTC))
        day += timedelta(days=1)
    return sorted(slot for slot in found if slot.year == year)


def every_passing(zone: str, year: int, fits: Any) -> list[datetime]:
    """The reference for what goes through all hours: every minute that passes, as the clocks there show it."""
    where = tz.gettz(zone)
    moment, found = at(f"{year}-01-01"), []
    while moment.year == year:
        if fits(moment.astimezone(where)):
            found.append(moment)
        moment += timedelta(minutes=STEP)
    return found


# -- daylight saving ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ("30 2 * * *", lambda t: (t.hour, t.minute) == (2, 30)),
        ("30 1 * * *", lambda t: (t.hour, t.minute) == (1, 30)),
        ("0,45 0-3 * * sun", lambda t: t.hour < 4 and t.minute in (0, 45) and t.isoweekday() == 7),
        ("15 */2 1-7 3,11 *", lambda t: t.minute == 15 and t.hour % 2 == 0 and t.day < 8 and t.month in (3, 11)),
    ],
)
def test_a_wall_clock_time_fires_once_a_day_through_a_whole_year(zone: str, fields: str, fits: Any) -> None:
    assert year_of(schedule(fields, timezone=zone), 2026) == once_each(zone, 2026, fits)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("fields", "fits"),
    [("*/20 * * * *", lambda t: t.minute % 20 == 0), ("5 * * * sun", lambda t: t.minute == 5 and t.isoweekday() == 7)],
)
def test_what_goes_through_all_hours_follows_the_time_that_passes(zone: str, fields: str, fits: Any) -> None:
    assert year_of(schedule(fields, timezone=zone), 2026) == every_passing(zone, 2026, fits)


@pytest.mark.parametrize("zone", ZONES)
def test_a_rule_of_hours_follows_the_time_that_passes(zone: str) -> None:
    slots = year_of(schedule("RRULE:FREQ=HOURLY", timezone=zone), 2026)
    assert slots == every_passing(zone, 2026, lambda t: t.minute == 0)


@pytest.mark.parametrize("zone", ZONES + MORE)
@pytest.mark.parametrize("year", [2011, 2024, 2026])
def test_a_daily_rule_gives_one_slot_for_every_day_there_is(zone: str, year: int) -> None:
    made = schedule("RRULE:FREQ=DAILY;BYHOUR=0,2;BYMINUTE=30;BYSECOND=0", timezone=zone)
    assert year_of(made, year) == once_each(zone, year, lambda t: t.hour in (0, 2) and t.minute == 30)


def test_the_gap_and_the_overlap_as_documented() -> None:
    made = schedule("30 2 * * *", timezone="Europe/Berlin")
    spring, autumn = at("2026-03-28T12:00"), at("2026-10-24T12:00")
    assert local(islice(made.slots(spring), 2), "Europe/Berlin") == ["03-29 03:30 +0200", "03-30 02:30 +0200"]
    assert local(islice(made.slots(autumn), 2), "Europe/Berlin") == ["10-25 02:30 +0200", "10-26 02:30 +0100"]
    # Asked within the hour that the clocks left out, the slot that was put off still lies ahead.
    assert made.after(at("2026-03-29T01:15")) == at("2026-03-29T01:30")
    # Asked in the second of the two hours, the slot in the first is over.
    assert local(islice(made.slots(at("2026-10-25T01:10")), 1), "Europe/Berlin") == ["10-26 02:30 +0100"]


def test_an_interval_is_a_length_of_time() -> None:
    made = schedule(timedelta(days=1), timezone="Europe/Berlin", start=at("2026-03-27T11:00"))
    assert local(islice(made.slots(at("2026-03-27T12:00")), 2), "Europe/Berlin") == [
        "03-28 12:00 +0100",
        "03-29 13:00 +0200",
    ]


@given(st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1)), st.sampled_from(ZONES + MORE), st.data())
def test_slots_ascend_and_none_lies_between_two(moment: datetime, zone: str, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(["30 2 * * *", "*/7 * * * *", "0 0 29 2 *", "RRULE:FREQ=WEEKLY;BYDAY=SU"]))
    made = schedule(text, timezone=zone)
    first, second = islice(made.slots(moment.replace(tzinfo=UTC)), 2)
    assert moment.replace(tzinfo=UTC) < first < second
    between = data.draw(st.datetimes(first.replace(tzinfo=None), second.replace(tzinfo=None)))
    if first <= between.replace(tzinfo=UTC) < second:
        assert made.after(between.replace(tzinfo=UTC)) == second


# -- the calendar ------------------------------------------------------------------------------------------------------


def test_leap_day_and_year_end() -> None:
    assert year_of(schedule("0 12 29 2 *"), 2028) == [at("2028-02-29T12:00")]
    assert schedule("0 12 29 2 *").after(at("2028-03-01")) == at("2032-02-29T12:00")
    assert schedule("0 12 29 2 mon").after(at("2028-03-01")) == at("2044-02-29T12:00")
    assert next_slots([schedule("59 23 31 12 *"), schedule("0 0 1 1 *")], at("2026-12-31T12:00"), 2) == [
        at("2026-12-31T23:59"),
        at("2027-01-01T00:00"),
    ]


def test_the_slot_before() -> None:
    assert schedule("0 12 29 2 *").before(at("2027-01-01")) == at("2024-02-29T12:00")
    assert schedule(60).before(at("2027-01-01")) == at("2026-12-31T23:59")
    assert schedule([at("2026-01-01")]).before(at("2026-01-01")) is None


def test_excluded_days_fire_nothing() -> None:
    made = schedule("0 9 * * *", exclude=["sat", "sun", "12-25", "2026-12-28/2026-12-30", date(2026, 12, 31)])
    assert [f"{slot:%m-%d}" for slot in islice(made.slots(at("2026-12-23T12:00")), 3)] == ["12-24", "01-01", "01-04"]
    assert schedule(60, exclude=["mon", "tue", "wed", "thu", "fri", "sat", "sun"]).after(at("2026-01-01")) is None


def test_an_excluded_day_is_one_of_the_schedules_own_zone() -> None:
    made = schedule(3600, timezone="America/New_York", exclude=["2026-07-04"])
    assert made.after(at("2026-07-04T03:30")) == at("2026-07-05T04:00")


def test_start_and_end_are_part_of_it() -> None:
    made = schedule(60, start=at("2026-01-01T00:00:30"), end=at("2026-01-01T00:02:30"))
    assert list(made.slots(at("2020-01-01"))) == [at(f"2026-01-01T00:0{n}:30") for n in range(3)]


def test_a_jitter_is_drawn_anew_for_each_slot_and_alike_by_all() -> None:
    made = schedule(60, jitter=10)
    slots = list(islice(made.slots(at("2026-01-01")), 50))
    late = [(made.fires(slot, "a") - slot).total_seconds() for slot in slots]
    assert late == [(schedule(made.to_json()).fires(slot, "a") - slot).total_seconds() for slot in slots]
    assert 0 <= min(late) < 3 < 7 < max(late) <= 10
    assert made.fires(slots[0], "a") != made.fires(slots[0], "b")


# -- the rules ---------------------------------------------------------------------------------------------------------


def test_a_rule_far_from_its_beginning_is_the_one_dateutil_walks_to() -> None:
    text = "FREQ=WEEKLY;INTERVAL=3;BYDAY=TU,FR;BYHOUR=7;BYMINUTE=0;BYSECOND=0"
    made = schedule(f"RRULE:{text}", start=at("2001-01-02"))
    expected = rrule.rrulestr(text, dtstart=datetime(2001, 1, 2)).xafter(datetime(2026, 5, 5), count=20)
    assert [slot.replace(tzinfo=None) for slot in islice(made.slots(at("2026-05-05")), 20)] == list(expected)


def test_a_rule_with_a_count_ends() -> None:
    made = schedule("RRULE:FREQ=DAILY;COUNT=3", start=at("2026-01-01T06:00"))
    assert len(list(made.slots(at("2020-01-01")))) == 3
    until = schedule("RRULE:FREQ=DAILY;UNTIL=20260103T050000Z", timezone="Europe/Berlin", start=at("2026-01-01T05:00"))
    assert list(until.slots(at("2020-01-01")))[-1] == at("2026-01-03T05:00")


def test_exceptions_of_a_rule() -> None:
    made = schedule("DTSTART:20260101T060000\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260102T060000")
    assert [slot.day for slot in made.slots(at("2020-01-01"))] == [1, 3]


def test_sunsets_are_celerys() -> None:
    slots = list(islice(schedule(solar("sunset", 52.5, 13.4)).slots(at("2026-06-20")), 3))
    assert [f"{slot:%d %H:%M}" for slot in slots] == ["20 19:32", "21 19:33", "22 19:33"]


@pytest.mark.parametrize(
    "rule",
    [
        crontab(minute="*/5", hour=[8, 9], day_of_week="mon-fri"), celery_schedules.schedule(30), timedelta(hours=1),
        2.5, "0 3 * * *", solar("sunrise", 10, 20), "RRULE:FREQ=MONTHLY;BYDAY=-1FR", [at("2026-01-01")],
        at("2026-01-01"),
    ],
)  # fmt: skip
def test_every_kind_becomes_text_and_is_the_same_again(rule: Any) -> None:
    made = schedule(rule, timezone="Europe/Berlin", jitter=2, start=at("2025-01-01"), exclude=["sun"])
    assert schedule(made.to_json()) == made
    after = at("2025-06-01")
    assert list(islice(schedule(made.to_json()).slots(after), 5)) == list(islice(made.slots(after), 5))


def test_celerys_crontab_means_what_it_means_there() -> None:
    made = schedule(crontab(minute=0, hour="8-10", day_of_month="1-7", day_of_week="mon"))
    assert [f"{s:%m-%d %H}" for s in islice(made.slots(at("2026-01-01")), 4)] == [
        "01-05 08",
        "01-05 09",
        "01-05 10",
        "02-02 08",
    ]


def test_the_soonest_of_several() -> None:
    found = next_slot("a", [schedule(3600), schedule("30 * * * *", jitter=1)], at("2026-01-01T00:10"))
    assert found is not None
    assert found[0] == at("2026-01-01T00:30") <= found[1] <= at("2026-01-01T00:31")
    assert next_slot("a", [], at("2026-01-01")) is None


@pytest.mark.parametrize(
    ("rule", "options", "named"),
    [
        ("61 * * * *", {}, "crontab='61"), ("0 0 30 2 *", {}, "crontab="), ("nonsense", {}, "crontab="),
        (0, {}, "every=0"), (float("nan"), {}, "every=nan"), (0.12345, {}, "every="),
        ("FREQ=SOMETIMES", {}, "rrule="), (object(), {}, "schedule="),
        ({"crontab": "* * * * *", "every": 3}, {}, "schedule="), ({"every": 3, "tz": "UTC"}, {}, "schedule="),
        (5, {"timezone": "Mars/Base"}, "timezone='Mars/Base'"), (5, {"jitter": -1}, "jitter=-1"),
        (5, {"start": datetime(2026, 1, 1)}, "start="), (5, {"end": "soon"}, "end='soon'"),
        (5, {"exclude": ["someday"]}, "exclude='someday'"), (5, {"exclude": ["02-30"]}, "exclude='02-30'"),
        ([datetime(2026, 1, 1)], {}, "times="),
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_named(rule: Any, options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption) as error:
        schedule(rule, **options)
    assert named in str(error.value)


def test_nothing_is_walked_through_that_can_be_jumped_over() -> None:
    # Walked through, the seconds since its beginning would take longer than a test may.
    made = schedule("RRULE:FREQ=SECONDLY;INTERVAL=7", start=at("1970-01-01"))
    assert made.after(at("2026-03-29T00:59:30")) == schedule(7).after(at("2026-03-29T00:59:30"))

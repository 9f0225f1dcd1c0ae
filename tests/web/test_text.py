"""What the pages are filled with: words, filters, redaction, and paths made ready for drawing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from jobkit.errors import InvalidOption
from jobkit.model import Failure, Job, Progress, Run, Transition
from jobkit.states import Category, Outcome, State, states
from jobkit.web import text
from jobkit.web.path import drawn
from jobkit.web.redact import HIDDEN, redacted
from jobkit.web.view import View, slug

NOW = datetime(2026, 11, 22, 12, 0, 0, 123_456, timezone.utc)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def job(**facts: Any) -> Job:
    given: dict[str, Any] = {"state": State.QUEUED, "submitted_at": at(-60), "state_since": at(-60), **facts}
    return Job(id="j", task="shop.pack", run=1, **given)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, text.NOTHING),
        (-5, "0 ms"),
        (0.0124, "12 ms"),
        (0.9999, "1.0 s"),
        (3.44, "3.4 s"),
        (9.96, "10 s"),
        (59.6, "1 m 00 s"),
        (245, "4 m 05 s"),
        (7_265, "2 h 01 m"),
        (200_000, "2 d 07 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float | None, words: str) -> None:
    assert text.span(None if seconds is None else timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (-1, "just now"), (-12, "12 s ago"), (-119, "1 m ago"), (-7_300, "2 h ago"), (300, "in 5 m")],
)
def test_an_age_has_one_unit(seconds: float, words: str) -> None:
    assert text.ago(at(seconds), NOW) == words


def test_a_clock_time_is_in_the_zone_of_the_application() -> None:
    assert text.clock(NOW, timezone(timedelta(hours=1), "CET")) == "2026-11-22 13:00:00.123 CET"


def test_every_state_has_a_tone() -> None:
    tones = {state: text.tone(state) for state in State}
    assert tones[State.FINISHED] == "good"
    assert text.tone(State.FINISHED, Outcome.PARTIALLY_SUCCEEDED) == "partly"
    assert {state for state, tone in tones.items() if tone == "bad"} == {
        State.TIMEOUT,
        State.KILLED,
        State.ERROR,
        State.ABORTED,
        State.SHUTDOWN_CONFIRMED,
    }
    assert tones[State.RUNNING] != tones[State.CANCELLING_BY_USER]


@pytest.mark.parametrize(
    ("job_id", "shown"),
    [
        ("3f2b8c1e-7d4a-4e21-9c55-0a1b2c3d4e5f", "3f2b8c1e"),
        ("019ab1c2-7d4a-7e21-9c55-0a1b2c3d4e5f", "019ab1c2-7d4a-7e21"),
        ("nightly", "nightly"),
        ("x" * 30, "x" * 23 + "…"),
    ],
)
def test_a_short_id_still_tells_jobs_apart(job_id: str, shown: str) -> None:
    assert text.short(job_id) == shown


def test_waiting_counts_from_the_start_time_and_running_from_the_claim() -> None:
    assert text.waited(job(), NOW) == timedelta(seconds=60)
    assert text.waited(job(start_at=at(30)), NOW) is None, "it does not wait: its time has not come"
    assert text.waited(job(start_at=at(-10), started_at=at(-4)), NOW) == timedelta(seconds=6)
    assert text.ran(job(), NOW) is None
    assert text.ran(job(started_at=at(-4)), NOW) == timedelta(seconds=4)
    assert text.ran(job(started_at=at(-4), ended_at=at(-1)), NOW) == timedelta(seconds=3)


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"state": State.FINISHED, "message": "3 rows skipped"}, "3 rows skipped"),
        ({"state": State.ERROR, "failure": Failure("ValueError", "no")}, "ValueError: no"),
        ({"state": State.ERROR, "message": "no", "failure": Failure("ValueError", "no")}, "ValueError: no"),
        ({"state": State.RUNNING, "started_at": at(-1), "progress": Progress(1, 2, "row 1")}, "row 1"),
        ({"state": State.WAITING_FOR_START, "start_at": at(300)}, "starts in 5 m"),
        ({"state": State.WAITING_FOR_PREDECESSOR, "after_id": "first"}, "after first"),
        (
            {"state": State.WAITING_FOR_START, "start_at": at(300), "failure": Failure("OSError", "no")},
            "starts in 5 m · OSError: no",
        ),
        ({}, ""),
    ],
)
def test_the_one_line_about_a_job(facts: dict[str, Any], line: str) -> None:
    assert text.headline(job(**facts), NOW) == line


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1_234_567, "1,234,567"), (3.0, "3"), (0.125, "0.12"), (2**70, f"{2**70:,}"), (float("inf"), "inf")],
)
def test_numbers_are_shown_exactly(value: float, shown: str) -> None:
    assert text.number(value) == shown


def test_values_are_shown_exactly_and_cut_when_they_are_long() -> None:
    assert text.pretty({"n": 2**64}) == '{\n  "n": 18446744073709551616\n}'
    assert text.pretty({"half": "\ud800"}) == '{\n  "half": "\\ud800"\n}'
    assert text.pretty("a") == "'a'"
    assert text.pretty({(1, 2): {3}}) == "{(1, 2): {3}}"
    assert text.pretty("a" * 30_000).endswith("… (10,002 more characters)")


def test_a_view_is_its_url() -> None:
    url = {"category": "waiting-to-start", "owner": " alice ", "cursor": "7"}
    view = View.read(lambda name: url.get(name, ""))
    assert view.query()["state"] == states(Category.WAITING_TO_START)
    assert view.query()["owner"] == "alice"
    assert view.link(tag="a&b") == "?category=waiting-to-start&owner=alice&tag=a%26b", "from the first page on"
    assert View(state="ERROR", category="running").chosen is Category.ENDED
    assert not View(cursor="7").is_filtered


@pytest.mark.parametrize(
    ("option", "value", "hint"), [("state", "RUNING", "RUNNING"), ("category", "runing", "running")]
)
def test_a_wrong_filter_names_the_right_one(option: str, value: str, hint: str) -> None:
    with pytest.raises(InvalidOption, match=f"did you mean {hint}"):
        View.read(lambda name: value if name == option else "")


def test_every_category_can_be_in_a_url() -> None:
    for category in Category:
        assert View(category=slug(category)).chosen is category


def test_the_steps_of_a_run_know_how_long_they_lasted() -> None:
    path = (
        Transition(1, 1, None, State.QUEUED, at(-9), "client"),
        Transition(2, 1, State.QUEUED, State.RUNNING, at(-4), "w1"),
    )
    (running,) = drawn([Run(1, path)], NOW)
    assert [step.stayed for step in running.steps] == [timedelta(seconds=5), timedelta(seconds=4)]
    ended = (*path, Transition(3, 1, State.RUNNING, State.FINISHED, at(-1), "w1"))
    (finished,) = drawn([Run(1, ended)], NOW)
    assert finished.steps[-1].stayed is None
    assert finished.took == timedelta(seconds=8)


def test_the_hook_that_hides_arguments_in_flower_hides_them_here() -> None:
    def hide(task: SimpleNamespace) -> SimpleNamespace:
        task.args, task.result = f"hidden of {task.name}", "***"
        return task

    seen = redacted(job(args="secret", kwargs="{}", result=1, failure=Failure("E", "m", "tb")), hide)
    assert (seen.args, seen.kwargs, seen.result) == ("hidden of shop.pack", "{}", "***")
    assert seen.failure == Failure("E", "m", "tb")


def test_a_hook_that_fails_hides_everything(caplog: pytest.LogCaptureFixture) -> None:
    seen = redacted(job(args="secret", failure=Failure("E", "secret", "secret")), lambda task: task.nothing)
    assert (seen.args, seen.result, seen.failure) == (HIDDEN, HIDDEN, Failure("E", HIDDEN, HIDDEN))
    assert "format_task failed" in caplog.text

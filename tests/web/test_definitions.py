"""The pages of definitions: how each stands, its schedules, its next times and its last runs."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from jobkit import schedule
from jobkit.definitions import Definition
from jobkit.web.redact import HIDDEN, redacted_definition
from jobkit.web.timetable import told
from tests.web.flowers import Flower


def listed(pages: Flower, query: str = "") -> list[str]:
    return [one["id"] for one in pages.get(f"/definitions?format=json&{query}").json["definitions"]]


def test_the_list_says_how_each_stands_and_when_it_runs_next(pages: Flower, past: SimpleNamespace) -> None:
    found = {one["id"]: one["status"] for one in pages.get("/definitions?format=json").json["definitions"]}
    assert {name: status["state"] for name, status in found.items()} == {
        "hostile": "NOT_SCHEDULED", "nightly": "SCHEDULED", "weekly": "NOT_SCHEDULED",
    }  # fmt: skip
    assert found["nightly"]["next_at"]
    page = pages.get("/definitions").text
    for text in ("Nightly packing", "0 3 * * * · Europe/Berlin", "every 2 h 00 m", "paused: the shop moves", "carol"):
        assert text in page
    assert 'href="/definitions"' in pages.get("/workers").text


def test_filters_are_in_the_url(pages: Flower, past: SimpleNamespace) -> None:
    assert listed(pages, "state=SCHEDULED") == ["nightly"]
    assert listed(pages, "name=packing") == ["nightly"]
    assert listed(pages, "task=shop.count") == ["weekly"]
    assert listed(pages, "owner=carol&state=QUEUED") == []
    assert listed(pages, "after=hostile") == ["nightly", "weekly"]
    assert "No definition matches" in pages.get("/definitions?owner=nobody").text
    wrong = pages.get("/definitions?state=SCHEDULD")
    assert (wrong.status, "did you mean SCHEDULED?" in wrong.text) == (400, True)


def test_one_has_its_next_ten_times_and_its_last_runs(pages: Flower, past: SimpleNamespace) -> None:
    data = pages.get("/definitions/nightly?format=json").json
    times = [datetime.fromisoformat(at) for at in data["next"]]
    assert len(times) == 10
    assert times == sorted(times)
    assert times[-1] - times[0] <= timedelta(hours=20)
    assert [(run["state"], run["outcome"], run["job_id"]) for run in data["runs"]] == [
        ("FINISHED", "SUCCEEDED", "@nightly")
    ]
    page = pages.get("/definitions/nightly").text
    assert page.count("<time datetime") >= 12
    for text in ("Nightly packing", "&quot;things&quot;: 3", "queued by", "spring", 'href="/jobs?tag=%40nightly"'):
        assert text in page
    paused = pages.get("/definitions/weekly")
    assert "Paused: the shop moves" in paused.text
    assert pages.get("/definitions/weekly?format=json").json["next"] == []


def test_what_users_wrote_is_text(pages: Flower, past: SimpleNamespace) -> None:
    for path in ("/definitions", "/definitions/hostile"):
        page = pages.get(path)
        assert "<script>win" not in page.text
        assert "&lt;script&gt;win" in page.text
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]


def test_one_that_is_not_there_is_no_page(pages: Flower) -> None:
    answer = pages.get("/definitions/nothing%3Cb%3E")
    assert answer.status == 404
    assert "There is no such definition" in answer.text
    assert not re.search(r"nothing<b>", answer.text)


def test_what_flower_is_told_to_hide_of_tasks_is_hidden_of_definitions() -> None:
    one = Definition("one", "shop.pay", data={"card": "4711"}, args=("4711",))

    def hide(task: SimpleNamespace) -> SimpleNamespace:
        task.args, task.kwargs = "(hidden)", {"card": "…"}
        return task

    assert redacted_definition(one, None) is one
    assert redacted_definition(one, hide).args == ("(hidden)",)
    assert redacted_definition(one, hide).data == {"card": "…"}
    broken = redacted_definition(one, lambda task: task.nothing)
    assert (broken.args, broken.data) == ((HIDDEN,), {"": HIDDEN})


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (schedule(90), "every 1 m 30 s"),
        (schedule("0 3 * * *", jitter=2, exclude=["12-25"]), "0 3 * * * · UTC · up to 2.0 s late · not on 12-25"),
        (schedule("RRULE:FREQ=DAILY", start="2026-01-01T00:00:00Z"), "RRULE:FREQ=DAILY · UTC · start 2026-01-01T00:00"),
        (schedule(datetime.fromisoformat("2026-01-01T08:00:00+00:00")), "1 times, the first 2026-01-01T08:00 · UTC"),
        (schedule({"own": "shop.Tide"}), "shop.Tide · UTC"),
    ],
)
def test_a_schedule_is_one_line(made: object, words: str) -> None:
    assert told(made) == words  # type: ignore[arg-type]

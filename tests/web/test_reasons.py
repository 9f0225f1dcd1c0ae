"""Why a job failed is the same wherever it is asked: in Python, on the command line, in the pages and their JSON."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from jobkit.cli.main import jobkit
from jobkit.errors import JobUnknown
from jobkit.model import Job, Reason, to_json
from jobkit.web.redact import HIDDEN, redacted_reason
from tests.web.flowers import APP, Flower


@pytest.fixture
def lost(past: SimpleNamespace) -> Any:
    """A job whose child failed, and whose compensation failed then."""
    from tests.web import shop

    [job] = shop.jobs.query(task="shop.deliver").jobs
    return shop.jobs.get(job.id)


def test_the_reason_is_the_same_in_python_on_the_command_line_and_in_json(pages: Flower, lost: Any) -> None:
    from tests.web import shop

    api = json.loads(json.dumps(to_json(shop.jobs.reason(lost.id))))
    shown = CliRunner().invoke(jobkit, ["-A", APP, "show", lost.id, "-j"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["reason"] == api
    assert pages.get(f"/jobs/{lost.id}?format=json").json["reason"] == api
    assert (api["failure"]["type"], api["child"]["failure"]["type"]) == ("ChildFailed", "TimeoutError")
    assert "Traceback" in api["child"]["failure"]["traceback"]
    assert [line["message"] for line in api["child"]["log"]] == ["the road is closed"]
    assert [one["failure"]["message"] for one in api["compensations"]] == ["nobody knows where it is"]


def test_the_page_goes_down_to_what_failed(pages: Flower, lost: Any) -> None:
    page = pages.get(f"/jobs/{lost.id}").text
    assert f'href="/jobs/{lost.failed_child}"' in page
    assert all(f'href="/jobs/{one}"' in page for one in lost.failed_compensations)
    because = page.partition('id="because"')[2].partition("</pre>")[0]
    for said in ("shop.drive", "TimeoutError: &lt;b&gt;no&lt;/b&gt; way through", "shop.recall", "LookupError"):
        assert said in because


def test_what_flower_is_told_to_hide_is_hidden_of_what_a_job_failed_by(lost: Any) -> None:
    from tests.web import shop

    def hide(task: Any) -> Any:
        task.exception, task.traceback = "(hidden)", ""
        return task

    def gone(job_id: str) -> Job:
        raise JobUnknown(job_id=job_id, namespace="shop")

    reason: Reason = shop.jobs.reason(lost.id)
    for read, word in ((shop.jobs.get, "(hidden)"), (gone, HIDDEN)):
        shown = redacted_reason(reason, read, hide)
        assert shown.child
        assert {one.failure and one.failure.message for one in (shown, shown.child, *shown.compensations)} == {word}
        assert "no way" not in str(to_json(shown))
    assert redacted_reason(reason, gone, None) is reason


@pytest.mark.browser
def test_the_reason_in_a_browser(browser: Any, pages: Flower, lost: Any) -> None:
    tab = browser.new_page()
    tab.goto(f"{pages.address}/jobs/{lost.id}")
    assert "TimeoutError: <b>no</b> way through" in tab.locator("#because").inner_text()
    tab.get_by_role("link", name=lost.failed_child).click()
    assert "TimeoutError" in tab.locator(".jk-failure").inner_text()
    tab.close()

"""The pages as people see them, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.web.flowers import Flower

pytestmark = pytest.mark.browser


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """An empty tab; an error in a script of the page fails the test."""
    errors: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None)
    yield page
    context.close()
    assert not errors


def rows(tab: Any) -> set[str]:
    return {row.get_attribute("data-job") for row in tab.locator("tr[data-job]").all()}


def test_the_list_shows_queued_and_long_finished_jobs(tab: Any, pages: Flower, past: SimpleNamespace) -> None:
    tab.goto(pages.address)
    tab.get_by_role("link", name="Jobs", exact=True).click()
    tab.get_by_label("Tag").fill("past")
    tab.get_by_role("button", name="Filter").click()
    tab.wait_for_url("**/jobs?*tag=past")
    assert rows(tab) == set(vars(past).values())
    assert tab.locator(f'tr[data-job="{past.queued}"] .badge').inner_text() == "QUEUED"
    assert tab.evaluate("window.owned") is None


def test_a_click_on_a_counter_filters(tab: Any, pages: Flower, past: SimpleNamespace) -> None:
    tab.goto(pages.address + "/jobs?tag=past")
    tab.locator('[data-category="waiting-to-run"]').click()
    tab.wait_for_url("**/jobs?category=waiting-to-run&tag=past")
    assert rows(tab) == {past.queued}
    tab.locator('[data-category="ended"]').click()
    tab.locator('[data-state="ERROR"]').click()
    tab.wait_for_url("**/jobs?state=ERROR&tag=past")
    assert rows(tab) == {past.failed}
    tab.go_back()
    tab.wait_for_url("**/jobs?category=ended&tag=past")
    assert past.queued not in rows(tab)


def test_a_job_shows_its_path_and_keeps_what_was_folded(tab: Any, pages: Flower, past: SimpleNamespace) -> None:
    tab.goto(pages.address + "/jobs?tag=past")
    tab.locator(f'tr[data-job="{past.failed}"] a[title="{past.failed}"]').click()
    tab.locator("#run-3 .jk-node").last.wait_for()
    assert tab.locator("#run-3 .jk-node").all_inner_texts() == ["QUEUED", "RUNNING", "ERROR"]
    assert "ConnectionError" in tab.locator("#traceback pre").inner_text()
    tab.locator("#traceback summary").click()
    with tab.expect_response("**/jobs/*"):
        tab.get_by_role("button", name="Pause").click()
        tab.get_by_role("button", name="Go on").click()
    tab.wait_for_timeout(200)
    assert not tab.locator("#traceback pre").is_visible(), "a refresh does not unfold it"
    assert tab.evaluate("window.owned") is None


def test_what_was_seen_stays_while_flower_does_not_answer(tab: Any, pages: Flower, past: SimpleNamespace) -> None:
    tab.goto(pages.address + "/jobs?tag=past")
    tab.route("**/jobs?tag=past", lambda route: route.abort())
    tab.get_by_text("Flower does not answer.").wait_for(timeout=20_000)
    assert rows(tab) == set(vars(past).values())
    tab.unroute("**/jobs?tag=past")
    tab.get_by_text("Flower does not answer.").wait_for(state="hidden", timeout=20_000)


def test_the_list_refreshes_by_itself_until_it_is_paused(tab: Any, pages: Flower, past: SimpleNamespace) -> None:
    from tests.web import shop

    tab.goto(pages.address + "/jobs")
    first = shop.jobs.submit(shop.pack.s(2)).id
    tab.locator(f'tr[data-job="{first}"]').wait_for(timeout=20_000)
    tab.get_by_role("button", name="Pause").click()
    second = shop.jobs.submit(shop.pack.s(3)).id
    tab.wait_for_timeout(2_500)
    assert second not in rows(tab)
    tab.get_by_role("button", name="Go on").click()
    tab.locator(f'tr[data-job="{second}"]').wait_for(timeout=20_000)

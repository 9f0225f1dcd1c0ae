"""The pages as Flower serves them: content, JSON, errors, sign-in, prefix."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from jobkit.embedded import EmbeddedRedis
from jobkit.testing import eventually
from jobkit.web.view import PAGE
from tests.web.flowers import HOSTILE, Flower, flower


def listed(pages: Flower, query: str) -> set[str]:
    return {job["id"] for job in pages.get(f"/jobs?format=json&{query}").json["jobs"]}


def test_the_list_has_what_ran_before_and_what_waits_without_a_worker(pages: Flower, past: SimpleNamespace) -> None:
    answer = pages.get("/jobs?format=json&tag=past").json
    assert {job["id"]: job["state"] for job in answer["jobs"]} == {
        past.packed: "FINISHED",
        past.failed: "ERROR",
        past.partly: "FINISHED",
        past.queued: "QUEUED",
    }
    assert (answer["counts"]["FINISHED"], answer["counts"]["ERROR"]) == (3, 4)
    page = pages.get("/jobs?tag=past")
    assert page.status == 200
    assert all(text in page.text for text in ("shop.pack", "ConnectionError", "3 rows skipped", "alice"))


def test_filters_are_in_the_url(pages: Flower, past: SimpleNamespace) -> None:
    assert listed(pages, "state=ERROR&tag=past") == {past.failed}
    assert listed(pages, "category=waiting-to-run&tag=past") == {past.queued}
    assert listed(pages, "task=shop.count") == {past.partly}
    assert listed(pages, "owner=alice") == {past.packed}
    assert listed(pages, "tag=spring") == {past.packed}
    assert listed(pages, "owner=bob&category=ended") == set()
    assert listed(pages, f"owner={quote(HOSTILE)}") == {past.failed}, "a filter is not escaped on its way in"
    assert "No job matches these filters" in pages.get("/jobs?owner=nobody").text


def test_a_long_list_has_pages(pages: Flower, past: SimpleNamespace) -> None:
    from tests.web import shop

    submitted = {shop.jobs.submit(shop.pack.s(0), owner="many").id for _ in range(PAGE + 3)}
    first = pages.get("/jobs?owner=many")
    seen = re.findall(r'data-job="([^"]+)"', first.text)
    assert len(seen) == PAGE
    older = re.search(r'rel="next"\s+href="([^"]+)"', first.text)
    assert older
    second = pages.get("/jobs" + unescape(older.group(1)))
    assert submitted == {*seen, *re.findall(r'data-job="([^"]+)"', second.text)}
    assert 'rel="next"' not in second.text
    assert "Newest" in second.text


def test_a_wrong_filter_or_cursor_is_explained(pages: Flower) -> None:
    answer = pages.get("/jobs?state=RUNING")
    assert answer.status == 400
    assert "did you mean RUNNING?" in answer.text
    assert pages.get("/jobs?cursor=nonsense&format=json").json["error"] == "InvalidOption"


def test_one_job_has_its_path_its_result_and_its_log(pages: Flower, past: SimpleNamespace) -> None:
    data = pages.get(f"/jobs/{past.packed}?format=json").json
    assert data["job"]["result"] == {"things": 12}
    assert [step["target"] for step in data["runs"][0]["path"]] == ["QUEUED", "RUNNING", "FINISHED"]
    assert data["log"][0]["message"] == "packed <b>all</b> of them"
    page = pages.get(f"/jobs/{past.packed}").text
    assert re.findall(r'data-state="(\w+)"', page) == ["QUEUED", "RUNNING", "FINISHED"]
    assert "&quot;things&quot;: 12" in page


def test_a_failed_job_has_every_run_and_the_traceback(pages: Flower, past: SimpleNamespace) -> None:
    data = pages.get(f"/jobs/{past.failed}?format=json").json
    assert [run["path"][-1]["target"] for run in data["runs"]] == ["ERROR_RETRY", "ERROR_RETRY", "ERROR"]
    page = pages.get(f"/jobs/{past.failed}").text
    assert "Run 3" in page
    assert "Traceback (most recent call last)" in page


def test_what_users_wrote_is_text(pages: Flower, past: SimpleNamespace) -> None:
    hostile = quote(HOSTILE)
    for path in (
        "/jobs?tag=past",
        f"/jobs/{past.failed}",
        f"/jobs?owner={hostile}&tag={hostile}",
        f"/jobs?state={hostile}",
    ):
        page = pages.get(path)
        assert "<script>win" not in page.text
        assert "&lt;script&gt;win" in page.text
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]


def test_an_id_may_hold_anything_a_path_may_not(pages: Flower, past: SimpleNamespace) -> None:
    link = re.search(r'href="(/jobs/stock[^"]*)"', pages.get("/jobs?task=shop.count").text)
    assert link, "the list links to it"
    assert "stock/2026 &lt;i&gt;" in pages.get(link.group(1)).text


def test_an_unknown_job_is_no_page(pages: Flower) -> None:
    answer = pages.get("/jobs/nothing%3Cb%3E")
    assert answer.status == 404
    assert "No such job ever was recorded" in answer.text
    assert "<b>" not in answer.text.partition("No such job")[2].partition("</p>")[0]
    assert pages.get("/jobs/" + "x" * 300).status == 400, "no id is that long"
    assert pages.get("/jobs/nothing?format=json").json["error"] == "JobUnknown"


def test_every_page_of_flower_has_the_tab(pages: Flower) -> None:
    for path in ("/workers", "/tasks", "/jobs"):
        assert 'href="/jobs"' in pages.get(path).text


def test_the_files_of_the_page_are_served_and_nothing_else_of_the_package(pages: Flower) -> None:
    for address in re.findall(r'(?:href|src)="(/jobs-static/[^"]+)"', pages.get("/jobs").text):
        assert pages.get(address).status == 200
    assert pages.get("/jobs-static/../handlers.py").status in {403, 404}
    assert pages.get("/jobs-static/%2e%2e/handlers.py").status in {403, 404}


@pytest.fixture(scope="module")
def guarded(
    shop_redis: EmbeddedRedis, past: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flower]:
    options = ("--basic_auth=ada:lace", "--url_prefix=ops", "--auto_refresh=False")
    with flower(shop_redis.url, tmp_path_factory.mktemp("guarded"), *options) as running:
        yield running


def test_a_password_of_flower_guards_the_jobs(guarded: Flower, past: SimpleNamespace) -> None:
    for path in ("/ops/jobs", f"/ops/jobs/{past.packed}", "/ops/jobs?format=json", "/ops/jobs/nothing"):
        assert guarded.get(path).status == 401
    entry = {"Authorization": "Basic " + b64encode(b"ada:lace").decode()}
    assert guarded.get("/ops/jobs/nothing", **entry).status == 404
    page = guarded.get("/ops/jobs?tag=past", **entry)
    assert page.status == 200
    assert f'href="/ops/jobs/{past.packed}"' in page.text
    assert 'data-on="no"' in page.text, "Flower was told not to refresh"
    addresses = re.findall(r'(?:href|src)="([^"]*jobs-static/[^"]+)"', page.text)
    assert len(addresses) == 2
    assert all(guarded.get(address).status == 200 for address in addresses)


def test_flowers_hook_against_secrets_holds_for_jobs(
    shop_redis: EmbeddedRedis, past: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "flowerconfig.py").write_text("def format_task(task):\n    task.args = 'hidden'\n    return task\n")
    with flower(shop_redis.url, tmp_path) as running:
        for path in (f"/jobs/{past.failed}", f"/jobs/{past.failed}?format=json", "/jobs?tag=past&format=json"):
            assert "hidden" in running.get(path).text
        assert running.get(f"/jobs/{past.failed}?format=json").json["job"]["args"] == "hidden"


def test_without_redis_the_page_says_so_and_comes_back(pages: Flower, shop_redis: EmbeddedRedis) -> None:
    password = shop_redis.url.partition(":@")[0].partition("://:")[2].partition("@")[0]
    assert password
    shop_redis.kill()
    try:
        for path in ("/jobs", "/jobs/anything", "/jobs?format=json"):
            answer = pages.get(path)
            assert answer.status == 503
            assert "does not answer" in answer.text
            assert password not in answer.text
    finally:
        shop_redis.restart()
    eventually(lambda: pages.get("/jobs").status == 200)

"""How the pages get into Flower, and what happens where they cannot."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import flower.urls
import pytest

from jobkit import web
from jobkit.web import hooks


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Flower's handlers and settings, as they are without us."""
    handlers = [handler for handler in flower.urls.handlers if not _ours(handler)]
    settings = {name: value for name, value in flower.urls.settings.items() if name != "template_loader"}
    monkeypatch.setattr(flower.urls, "handlers", handlers)
    monkeypatch.setattr(flower.urls, "settings", settings)
    return handlers


def _ours(handler: Any) -> bool:
    return str(getattr(handler, "name", "")).startswith("job")


def test_the_pages_stand_before_the_handler_that_catches_everything(stock: list[Any]) -> None:
    last = stock[-1]
    assert web.install(None)  # type: ignore[arg-type]
    assert [handler.name for handler in stock if _ours(handler)] == [
        "jobs-static", "jobs", "job", "jobs-definitions", "jobs-definition",
    ]  # fmt: skip
    assert stock[-1] is last


def test_a_second_call_changes_nothing(stock: list[Any]) -> None:
    web.install(None)  # type: ignore[arg-type]
    before = list(stock)
    assert web.install(None)  # type: ignore[arg-type]
    assert stock == before


def test_an_unknown_flower_is_left_alone(stock: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    flower.urls.settings["template_path"] = "/nowhere"
    before = list(stock)
    assert not web.install(None)  # type: ignore[arg-type]
    assert stock == before
    assert "no Jobs pages" in caplog.text


def test_a_changed_navigation_loses_the_tab_only(caplog: pytest.LogCaptureFixture) -> None:
    assert hooks._with_tab("<nav></nav>", "<li>Jobs</li>") == "<nav></nav>"
    assert "the pages are at /jobs" in caplog.text


def test_without_flower_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "find_spec", lambda name: None)
    assert not web.install(None)  # type: ignore[arg-type]


def test_importing_jobkit_brings_no_web_server() -> None:
    code = "import sys, jobkit, jobkit.web; print([m for m in ('flower', 'tornado') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

"""Where the pages are hung into Flower 2.2, which has no plugin interface of its own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tornado.routing import URLSpec
from tornado.template import DictLoader
from tornado.web import url

from jobkit.web.assets import TEMPLATES, JobsStatic
from jobkit.web.definitions import DefinitionPage, DefinitionsPage
from jobkit.web.handlers import JobPage, ListPage

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

log = logging.getLogger(__name__)

#: The last item of Flower's own navigation: the Jobs tab goes behind it.
ANCHOR = "reverse_url('broker')"


class UnknownFlower(Exception):
    """This Flower keeps its handlers or templates in another way than 2.2."""


def attach(jobs: JobKit) -> None:
    """Put handlers, templates and the tab into Flower's settings, which it reads when it is built.

    Errors: `UnknownFlower`, and nothing has changed.
    """
    handlers, settings = _flower()
    if any(getattr(handler, "name", None) == "jobs" for handler in handlers):
        return
    loader = DictLoader(_templates(Path(settings["template_path"])))
    # The last handler of Flower catches everything.
    handlers[-1:-1] = _urls(jobs)
    settings["template_loader"] = loader


def _flower() -> tuple[list[Any], dict[str, Any]]:
    try:
        from flower.urls import handlers, settings  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise UnknownFlower(str(error)) from error
    if not isinstance(handlers, list) or not handlers or not Path(settings.get("template_path", "")).is_dir():
        raise UnknownFlower("flower.urls has no list of handlers or no folder of templates")
    return handlers, settings


def _urls(jobs: JobKit) -> list[URLSpec]:
    own = {"jobs": jobs}
    # url() and no tuples: of a tuple Flower would drop the arguments under --url_prefix.
    return [
        url(r"/jobs-static/(.*)", JobsStatic, JobsStatic.arguments(), name="jobs-static"),
        url(r"/jobs", ListPage, own, name="jobs"),
        url(r"/jobs/(.+)", JobPage, own, name="job"),
        url(r"/definitions", DefinitionsPage, own, name="jobs-definitions"),
        url(r"/definitions/(.+)", DefinitionPage, own, name="jobs-definition"),
    ]


def _templates(flowers: Path) -> dict[str, str]:
    texts = {path.name: path.read_text("utf-8") for folder in (flowers, TEMPLATES) for path in folder.glob("*.html")}
    return texts | {"navbar.html": _with_tab(texts.get("navbar.html", ""), texts["jobkit_tab.html"])}


def _with_tab(navbar: str, tab: str) -> str:
    at = navbar.find("</li>", navbar.find(ANCHOR)) if ANCHOR in navbar else -1
    if at < 0:
        log.warning("Flower's navigation has changed: no Jobs tab, the pages are at /jobs")
        return navbar
    at += len("</li>")
    return navbar[:at] + "\n" + tab + navbar[at:]

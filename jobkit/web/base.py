"""What every page of jobs has in common."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from flower.views import BaseHandler  # type: ignore[import-untyped,unused-ignore]
from tornado.web import authenticated

from jobkit.errors import DefinitionUnknown, InvalidOption, JobExpired, JobkitError, JobUnknown, StoreError
from jobkit.states import ABOUT
from jobkit.web import text
from jobkit.web.assets import JobsStatic

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

#: Redis is asked in threads of its own: tornado's loop never waits, and neither do Flower's own threads.
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="jobkit-web")

_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; base-uri 'none'"

_PROBLEMS: tuple[tuple[type[JobkitError], int, str], ...] = (
    (DefinitionUnknown, 404, "There is no such definition"),
    (JobUnknown, 404, "No such job ever was recorded"),
    (JobExpired, 410, "The record of this job has expired"),
    (InvalidOption, 400, "This cannot be shown"),
    (StoreError, 503, "The job store cannot be read"),
    (JobkitError, 500, "This job cannot be shown"),
)


class JobsHandler(BaseHandler):  # type: ignore[misc,unused-ignore]
    """Sign-in, JSON, the store asked off the loop, and its errors as pages."""

    #: The item of the navigation it belongs to.
    tab = "jobs"

    def initialize(self, jobs: JobKit) -> None:
        """Keep the `JobKit` the pages were installed with."""
        self._installed = jobs
        self.now = datetime.now(timezone.utc)

    @property
    def jobs(self) -> JobKit:
        """The JobKit of the application Flower was started for: a process may hold several."""
        return getattr(self.capp, "jobkit", None) or self._installed

    def set_default_headers(self) -> None:
        """Nothing from elsewhere runs in these pages, and nobody keeps a copy."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Cache-Control", "no-store")

    @authenticated
    async def get(self, *path: str) -> None:
        """Answer with a page, or with JSON for ``?format=json``."""
        try:
            await self.show(*path)
        except JobkitError as error:
            self.explain(error)

    async def show(self, *path: str) -> None:
        """Gather and answer; errors of jobkit may leave it."""
        raise NotImplementedError

    async def ask(self, question: Callable[[], Any]) -> Any:
        """Run a blocking question to the store in a thread."""
        return await asyncio.get_running_loop().run_in_executor(_THREADS, question)

    def explain(self, error: JobkitError) -> None:
        """Say what went wrong, with the status it deserves, in Flower's look."""
        status, title = next((status, title) for kind, status, title in _PROBLEMS if isinstance(error, kind))
        self.set_status(status)
        if status == 503:
            self.set_header("Retry-After", "5")
        data = {"error": type(error).__name__, "message": str(error)}
        self.answer("jobkit_problem.html", data, title=title, message=str(error), status=status)

    def answer(self, template: str, data: dict[str, Any], **shown: Any) -> None:
        """Finish with `data` as JSON if that was asked for, else with the template and what it shows."""
        if self.argument("format") == "json":
            self.set_header("Content-Type", "application/json; charset=UTF-8")
            self.finish(json.dumps(data, default=str) + "\n")
            return
        self.render(template, **shown)

    def argument(self, name: str) -> str:
        """A query argument as it was sent: the templates do the escaping."""
        return str(self.get_argument(name, "", escape=False))

    def get_template_namespace(self) -> dict[str, Any]:
        """What every template may use, on top of tornado's own."""
        return {
            **super().get_template_namespace(),
            "text": text,
            "tab": self.tab,
            "about": ABOUT.__getitem__,
            "now": self.now,
            "zone": self.capp.timezone,
            "asset": self.asset,
            "live": self.application.options.auto_refresh,
        }

    def asset(self, name: str) -> str:
        """The address of a file of jobkit's own."""
        return f"{self.reverse_url('jobs-static', name)}?v={JobsStatic.version(name)}"

"""The pages of definitions: the list of them, and one with its schedules, its next times and its last runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from jobkit import model
from jobkit.definitions import Definition
from jobkit.errors import InvalidOption, nearest
from jobkit.states import FiveState
from jobkit.store import recipes
from jobkit.web import timetable
from jobkit.web.base import JobsHandler
from jobkit.web.redact import redacted_definition

#: Definitions on one page; runs and slots of one that are shown.
PAGE, RUNS, SLOTS = 100, 20, 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which definitions the list shows, from which id on: the URL is the whole state of the page."""

    state: str = ""
    name: str = ""
    task: str = ""
    owner: str = ""
    after: str = ""

    @property
    def is_filtered(self) -> bool:
        """True where some are left out."""
        return self != Wanted(after=self.after)

    def link(self, **changes: str) -> str:
        """The query string of this view with some filters changed, from its first page on."""
        given = asdict(replace(self, **{"after": "", **changes}))
        return "?" + urlencode({name: value for name, value in given.items() if value})


class DefinitionsHandler(JobsHandler):
    """What both pages have in common."""

    tab = "definitions"

    def get_template_namespace(self) -> dict[str, Any]:
        """The words for definitions, too."""
        return {**super().get_template_namespace(), "timetable": timetable, "five": list(FiveState)}


class DefinitionsPage(DefinitionsHandler):
    """``/definitions``: all of them by id, how each stands, when it runs next."""

    async def show(self, *path: str) -> None:
        """A page of those the filters in the URL leave."""
        view = Wanted(**{name: self.argument(name).strip() for name in Wanted.__slots__})
        if view.state and view.state not in FiveState.__members__:
            raise InvalidOption(option="state", value=view.state, allowed=nearest(view.state, FiveState.__members__))
        found = await self.ask(lambda: self._page(view))
        more = found[PAGE - 1].id if len(found) > PAGE else ""
        hook = self.application.options.format_task
        found = [redacted_definition(one, hook) for one in found[:PAGE]]
        data = {"definitions": [one.to_json() for one in found], "after": more}
        counts = Counter(one.status.state for one in found if one.status)
        tasks = sorted(name for name in self.capp.tasks if not name.startswith("celery."))
        self.answer("jobkit_definitions.html", data, view=view, found=found, more=more, counts=counts, tasks=tasks)

    def _page(self, view: Wanted) -> list[Definition]:
        found = self.jobs.definitions.query(view.name, view.task, view.owner, after=view.after)
        fitting = (one for one in found if not view.state or (one.status and one.status.state.value == view.state))
        return list(islice(fitting, PAGE + 1))


class DefinitionPage(DefinitionsHandler):
    """``/definitions/<id>``: everything that is known of one."""

    async def show(self, *path: str) -> None:
        """Its status and configuration, its next slots, its last runs."""
        one, at, runs = await self.ask(lambda: self._read(path[0]))
        slots = one.next_fire_times(at, SLOTS) if one.is_scheduled else []
        one = redacted_definition(one, self.application.options.format_task)
        data = {
            "definition": one.to_json(),
            "next": [slot.isoformat() for slot in slots],
            "runs": [model.to_json(run) for run in runs],
        }
        self.answer("jobkit_definition.html", data, one=one, slots=slots, runs=runs)

    def _read(self, name: str) -> tuple[Any, ...]:
        definitions = self.jobs.definitions
        return definitions.get(name), recipes.now(self.jobs.store), definitions.history(name, limit=RUNS)

"""Which jobs the list shows: the URL is the whole state of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from jobkit.errors import InvalidOption, nearest
from jobkit.states import Category, State, states

#: Jobs on one page.
PAGE = 50

_CATEGORIES = {category.value.replace(" ", "-"): category for category in Category}


def slug(category: Category) -> str:
    """The name of a category in a URL."""
    return category.value.replace(" ", "-")


@dataclass(frozen=True, slots=True)
class View:
    """One list of jobs: filters that all have to hold, and where the page begins; a `state` beats a `category`."""

    state: str = ""
    category: str = ""
    task: str = ""
    owner: str = ""
    tag: str = ""
    cursor: str = ""

    @classmethod
    def read(cls, argument: Callable[[str], str]) -> View:
        """The view a URL asks for.

        Parameters: `argument`, gives the value of a query argument, "" where it is missing.
        Errors: `InvalidOption` for a state or a category that does not exist.
        """
        view = cls(**{name: argument(name).strip() for name in cls.__slots__})
        _known("state", view.state, State.__members__)
        _known("category", view.category, _CATEGORIES)
        return view

    @property
    def chosen(self) -> Category | None:
        """The category that is shown, if only one is."""
        return State(self.state).category if self.state else _CATEGORIES.get(self.category)

    @property
    def is_filtered(self) -> bool:
        """True where some jobs are left out."""
        return self != View(cursor=self.cursor)

    def query(self) -> dict[str, Any]:
        """What `jobs.query` is asked."""
        chosen = self.chosen
        state = State(self.state) if self.state else states(chosen) if chosen else None
        return {
            "state": state,
            "task": self.task or None,
            "owner": self.owner or None,
            "tag": self.tag or None,
            "cursor": self.cursor or None,
            "limit": PAGE,
        }

    def link(self, **changes: str) -> str:
        """The query string of this view with some filters changed, from its first page on."""
        given = asdict(replace(self, **{"cursor": "", **changes}))
        return "?" + urlencode({name: value for name, value in given.items() if value})


def _known(option: str, value: str, known: Mapping[str, Any]) -> None:
    if value and value not in known:
        raise InvalidOption(option=option, value=value, allowed=nearest(value, known))

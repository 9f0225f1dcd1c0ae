"""``jobs states``: the state graph."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from jobkit.cli.group import command, option, screen_of
from jobkit.cli.screen import Screen
from jobkit.drawing import mermaid
from jobkit.states import ABOUT, VERBS, Category, State
from jobkit.states import states as of_category

_WIDEST = max(len(state.value) for state in State)


@command()
@option("--mermaid", "as_mermaid", is_flag=True, help="Print the graph as a Mermaid diagram.")
def states(ctx: click.Context, as_mermaid: bool) -> None:
    """The state graph.

    Every state, what it means, and where it can go from there. To a pipe: state, category, meaning, next states; tab
    separated, no head.
    """
    screen = screen_of(ctx)
    if as_mermaid:
        return click.echo(mermaid(), nl=False)
    if screen.as_json:
        return screen.json([_state_json(state) for state in State])
    if not screen.terminal:
        return screen.table((), ((s, ABOUT[s].category.value, ABOUT[s].meaning, _next_states(s)) for s in State))
    return _draw(screen)


def _draw(screen: Screen) -> None:
    for category in Category:
        click.echo(screen.style(category.value, bold=True))
        for state in of_category(category):
            click.echo(f"  {screen.paint(state, state.value.ljust(_WIDEST))}  {ABOUT[state].meaning}")
            for line in textwrap.wrap(f"→ {_where_to(state)}", 72, subsequent_indent="  "):
                click.echo(" " * (_WIDEST + 4) + screen.style(line, dim=True))


def _where_to(state: State) -> str:
    after = " ".join(_next_states(state))
    if state.category is Category.RESTARTED:
        return "the next run"
    return " or ".join(filter(None, ("the end", after))) if state.category is Category.ENDED else after


def _next_states(state: State) -> tuple[str, ...]:
    return tuple(dict.fromkeys(verb.target.value for verb in VERBS.values() if state in verb.sources))


def _state_json(state: State) -> dict[str, Any]:
    about = ABOUT[state]
    names = {"state": state.value, "category": about.category.value, "meaning": about.meaning}
    return {**names, "next": _next_states(state)}

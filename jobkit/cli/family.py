"""``jobs tree``: a job and everything below it."""

from __future__ import annotations

from typing import Any

import click

from jobkit.cli.group import command, job_argument, jobs_of, screen_of
from jobkit.cli.ids import find
from jobkit.cli.text import Age, JobId, age, said
from jobkit.model import Tree

_HEADS = ("JOB", "STATE", "TASK", "KIND", "FOR", "MESSAGE")


@command()
@job_argument
def tree(ctx: click.Context, job: str) -> None:
    """A job and everything below it: children, compensations, and what its body sent by canvas.

    To a pipe: depth, id, state, task, kind, seconds in this state, message; tab separated, no head.
    """
    kit, screen = jobs_of(ctx), screen_of(ctx)
    found = kit.tree(find(kit, job).id)
    if screen.as_json:
        return screen.json(_json(found))
    for depth, one in () if screen.terminal else found.walk():
        screen.table((), [(depth, JobId(one.job.id), *_row(one))])
    if screen.terminal:
        screen.table(_HEADS, [("  " * depth + JobId(one.job.id).short, *_row(one)) for depth, one in found.walk()])
    return None


def _row(one: Tree) -> tuple[Any, ...]:
    return one.job.state, one.job.task, one.kind, Age(age(one.job.state_since)), said(one.job)


def _json(one: Tree) -> dict[str, Any]:
    return {"kind": one.kind, "job": one.job.to_json(), "children": [_json(child) for child in one.children]}

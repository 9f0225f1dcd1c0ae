"""What code declares, and what is stored: brought together at every start, never over an operator's change."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from jobkit.definitions import Definition
from jobkit.errors import DefinitionConflict
from jobkit.store import recipes

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

log = logging.getLogger("jobkit")

#: Where other distributions announce their tasks: a module that is imported, or a function that is given the `JobKit`.
ENTRY_POINTS = "jobkit.jobs"


def load_plugins(jobs: JobKit) -> None:
    """Load what the entry points announce; what cannot be loaded is said, and harms no other."""
    for point in entry_points(group=ENTRY_POINTS):
        try:
            loaded = point.load()
            if callable(loaded):
                loaded(jobs)
        except Exception:
            what = f"{point.name} = {point.value} (entry point {ENTRY_POINTS})"
            log.exception("the plug-in %s cannot be loaded: its tasks are missing here", what)


def reconcile(jobs: JobKit) -> None:
    """Write what is declared and was not stored before, or is declared otherwise now."""
    if not jobs.declared:
        return
    before = recipes.declared(jobs.store)
    for name, fields in jobs.declared.items():
        given = dict(fields)
        made = jobs.definitions._made(name, given.pop("task"), given.pop("schedule", None), given)
        declare(jobs, made, before.get(name))


def declare(jobs: JobKit, made: Definition, before: str | None) -> None:
    """Write one declared definition; `before` is what was declared of it last, if it was."""
    wanted = recipes.to_fields(made)
    text = json.dumps(wanted, sort_keys=True)
    while before != text:
        stored = recipes.read(jobs.store, [made.id])[0]
        if stored is None and before is not None:
            return  # an operator has deleted it
        last = json.loads(before or "{}")
        kept = recipes.to_fields(stored) if stored else {}
        changed = {name for name, value in wanted.items() if not stored or kept[name] == last.get(name) != value}
        merged = replace(stored, **{name: getattr(made, name) for name in changed}) if stored else made
        try:
            jobs.definitions._write([(merged, stored)], declared=text)
        except DefinitionConflict:
            before = recipes.declared(jobs.store).get(made.id)  # another process was faster
        else:
            return

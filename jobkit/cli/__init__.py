"""The command line: ``celery -A app jobs …``, and the same as ``jobkit -A app …``.

`jobs` is what the entry point group ``celery.commands`` names.  Importing a module of commands adds them to it.
"""

from __future__ import annotations

from jobkit.cli import changing, defining, family, graph, health, holding, listing, reading, session, watching
from jobkit.cli.group import jobs

__all__ = [
    "changing",
    "defining",
    "family",
    "graph",
    "health",
    "holding",
    "jobs",
    "listing",
    "reading",
    "session",
    "watching",
]

"""Definitions: stored, named recipes for jobs, and what may be said of them."""

from jobkit.definitions.checks import CONFIGURED, ID
from jobkit.definitions.definition import Definition, Status
from jobkit.definitions.words import Answer, Enabled, Misfire, Overlap, Queued

__all__ = ["CONFIGURED", "ID", "Answer", "Definition", "Enabled", "Misfire", "Overlap", "Queued", "Status"]

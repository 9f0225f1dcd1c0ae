"""Exit codes, and what to tell people about each error: the one place where errors become both.

== ========================================================
0  done
1  the watched job ended badly, or something unforeseen
2  wrong usage
3  no such job
4  the job's record has expired
5  the job cannot do that from where it stands
69 Redis or the broker cannot be reached
124 ``--timeout`` is over
130 Ctrl-C
== ========================================================
"""

from __future__ import annotations

from kombu.exceptions import OperationalError

from jobkit import errors

OK, BAD_END, USAGE, UNKNOWN, EXPIRED, CONFLICT, UNAVAILABLE, TIMEOUT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 69, 124, 130

#: What each code means, for the reference.
MEANINGS = {
    OK: "done",
    BAD_END: "the watched job ended badly, or an unforeseen error",
    USAGE: "wrong usage",
    UNKNOWN: "there never was such a job",
    EXPIRED: "the job was there, its record has expired",
    CONFLICT: "the job cannot do that from the state it is in",
    UNAVAILABLE: "Redis or the broker cannot be reached, or refuses",
    TIMEOUT: "`--timeout` is over",
    INTERRUPTED: "Ctrl-C",
}

_ADDRESS = "The address comes from `jobkit_backend`, else the result backend, else the broker."

#: The first class that fits an error decides.
_TABLE: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.JobUnknown, UNKNOWN, "The newest jobs: {command} list   (the first or last 6 characters of an ID will do)"),
    (errors.JobExpired, EXPIRED, "What its worker logged is in that worker's log. What there is: {command} list"),
    (errors.TooManyPins, CONFLICT, ""),
    (errors.DefinitionUnknown, UNKNOWN, "What there is: {command} definitions"),
    (errors.DefinitionConflict, CONFLICT, "As it is now: {command} definitions {definition_id}"),
    (errors.ArchiveError, UNAVAILABLE, "Its address is `jobkit_archive_backend`."),
    (errors.IllegalTransition, CONFLICT, "What it did so far: {command} history {job}"),
    (errors.Fenced, CONFLICT, "What it did so far: {command} history {job_id}"),
    (errors.InvalidOption, USAGE, ""),
    (errors.PayloadError, USAGE, ""),
    (errors.SchemaMismatch, UNAVAILABLE, "Use the jobkit that wrote this data, or another `jobkit_namespace`."),
    (errors.StoreRefused, UNAVAILABLE, _ADDRESS),
    (errors.StoreError, UNAVAILABLE, f"Is Redis running there? {_ADDRESS}"),
    (OperationalError, UNAVAILABLE, "Is the broker running? Its address is the app's `broker_url`."),
    (errors.JobkitError, BAD_END, ""),
)

#: Every error the table knows.
KNOWN: tuple[type[Exception], ...] = tuple({row[0]: None for row in _TABLE})


def explain(error: Exception, command: str) -> tuple[int, str, str]:
    """The exit code of a `KNOWN` error, what happened, and what to do next.

    Parameters: `command`: how the group of commands was called, for commands to paste.
    """
    code, hint = next((code, hint) for kind, code, hint in _TABLE if isinstance(error, kind))
    facts = getattr(error, "facts", {})
    return code, str(error) or type(error).__name__, hint.format(command=command, **facts)

"""What the verbs take and answer: plans, ends, claims, verdicts."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from jobkit import locks
from jobkit.locks import Lock
from jobkit.model import Failure
from jobkit.states import Outcome

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class Verdict(NamedTuple):
    """What a verb answered: its code, where the job stands now, the messages that are to be published, and the jobs
    whose family is to be looked at."""

    code: str
    state: str
    run: int
    publish: tuple[tuple[str, int, str], ...] = ()
    settle: tuple[str, ...] = ()


class Put(NamedTuple):
    """A message as the broker's Redis holds it, where that is the store's too: the script that records its job puts it.

    `queue` is a key; `message` is for run 1, and altered for another; `db` is "" where it is the store's.
    """

    queue: str
    message: str
    db: str = ""


class Claim(NamedTuple):
    """The answer to a claim: whether this process may run it, and what the job knows already.

    `newest` of a definition's job: arguments, data and log level as its definition has them now.
    """

    code: str
    state: str
    run: int
    checkpoint: str
    owner: str
    tags: tuple[str, ...]
    worker: str
    restarts: str
    hook: str
    newest: tuple[str, ...] = ()


class Pruned(NamedTuple):
    """How many ended jobs went because their time was over, and for want of room."""

    aged: int
    evicted: int


class Settled(NamedTuple):
    """Who writes: a run's number, its claim token, and the worker (with its boot) that holds it."""

    run: int | None
    token: str
    worker: str


@dataclass(frozen=True)
class Limits:
    """What there is room for: `jobs` and `bytes` of ended jobs (None: any), of which none goes before `least` ms
    unless memory itself is at stake; `gone_jobs` of those that went stay known, for `gone_ms` at most; `pins` of one
    owner's jobs may be pinned."""

    jobs: int | None = 4096
    least: int = 30_000
    bytes: int | None = None
    gone_jobs: int = 20_000
    gone_ms: int = 86_400_000
    pins: int = 10_000

    def text(self, keep: int | str = "") -> str:
        """As the scripts read it; `keep` is for how many ms the job at hand is kept."""
        return f"{keep}{self._rest}"

    @cached_property
    def _rest(self) -> str:
        parts = ("", self.jobs, self.least, self.bytes, self.gone_jobs, self.gone_ms)
        return ";".join("" if part is None else str(part) for part in parts)


#: Its message is published by another.
NOWHERE = Put("", "")
#: Who has a job pinned that is to be kept until it is read.
READER = "reader"
#: Those of an app that says nothing.
DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Plan:
    """A job as it is submitted.

    `message` is all that is needed to publish it again, as JSON text; `start` is in ms of Redis time, or "+ms" from
    when it is recorded; `after` the id of the job it comes after; `suspended` leaves it without a start; `token` is the
    claim of the run that plans its own next one: it is fenced; `locks` are what it has to hold while it is at work,
    `host` what it works on; `keep` is for how many ms it is kept once it has ended, `until_read` that this counts from
    when it is read; `kin` is its root, or its group, with which it is retained as one.
    """

    id: str
    task: str
    message: str
    start: int | str | None = None
    after: str = ""
    suspended: bool = False
    token: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    locks: tuple[Lock, ...] = ()
    host: str = ""
    keep: int | None = None
    until_read: bool = False
    kin: str = ""
    up: str = ""
    upon: str = ""
    fence: str = ""
    facts: Mapping[str, str | int] = field(default_factory=dict)

    def fields(self) -> list[str | int]:
        """The fields of its record, flat."""
        known = {"task": self.task, "message": self.message, "owner": self.owner, "tags": "\n".join(self.tags)}
        if self.kin or self.until_read or self.keep is not None:
            keep, flag = "" if self.keep is None else self.keep, "u" if self.until_read else ""
            known["retain"] = f"{keep}|{flag}|{self.kin}"
        bonds = "L" * bool(self.locks) + "H" * bool(self.host)
        bonds += "P" if self.up else "T" * bool(self.facts.get("parent"))
        if bonds:
            family = {"up": self.up, "upon": self.upon, "fence": self.fence}
            known |= {"bonds": bonds, "locks": locks.to_text(self.locks), "host": self.host, **family}
        return [part for item in {**known, **self.facts}.items() if item[1] != "" for part in item]


class End(NamedTuple):
    """How a run ends.

    `verbs` is the walk through the graph, `born` the one of a job without a record ("()": refuse); `meta` what Celery's
    clients read; `keep` milliseconds of retention; `again` has it run once more with what it has, after so many
    seconds; `paused` leaves that run without a start, `replaced` does so unless the next one is there already;
    `hook` has the job told of it by whoever the queue brings it to; `here`, by who ends it, unless it dies before.
    """

    verbs: tuple[str, ...]
    outcome: Outcome
    note: str = ""
    failure: Failure | None = None
    meta: str | bytes = ""
    keep: int = 300_000
    born: tuple[str, ...] = ()
    again: float | None = None
    paused: bool = False
    replaced: bool = False
    hook: bool = False
    here: bool = False
    facts: Mapping[str, str] = MappingProxyType({})

    def fields(self) -> list[str]:
        """The fields it adds to the record, flat."""
        known = {"outcome": self.outcome.value, "note": self.note, **self.facts}
        if self.failure:
            known["failure"] = json.dumps([self.failure.type, self.failure.message, self.failure.traceback])
        return [part for item in known.items() if item[1] for part in item]

    def next_start(self) -> int | str:
        """When it is to run again: ms from now, "never" or "?" (see finish.lua) until somebody says when, "" if not."""
        if self.paused or self.replaced:
            return "never" if self.paused else "?"
        return "" if self.again is None else int(self.again * 1000)

    def dropped(self) -> str:
        """What nobody needs after it: of one that is still to be told, nothing yet."""
        return "" if self.hook or self.here else self.spent()

    def spent(self) -> str:
        """What nobody needs of a job that has ended, once it was told so: see `_spent.lua`."""
        return "message" if self.outcome is Outcome.SUCCEEDED else "spent"

    def telling(self) -> int:
        """Who tells the job: 0 nobody, 1 the queue's choice, 2 who ends it."""
        return 2 if self.here else int(self.hook)


def operation() -> str:
    """A new operation id; as a claim token it is the random half of the fence."""
    return secrets.token_urlsafe(9)


def clean(text: str, limit: int = 500) -> str:
    """A text for one field of the path: no control characters, bounded."""
    return _CONTROL.sub(" ", text)[:limit]


def plain(text: str) -> str:
    """A text that can be written: what is no character (a file name may hold half of one) is spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()

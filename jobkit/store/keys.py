"""Every key jobkit writes: built here, for Python and for Lua."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

from jobkit.errors import InvalidOption
from jobkit.states import State

#: Version of the stored data.  Fields are only ever added; another number means the data cannot be read.
SCHEMA = 1

#: What a name may be made of: nothing that could leave its place in a key.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")

#: Each kind of key and what stands in front of its name.
KINDS = {
    "job": "job:",  # hash: the record of one job
    "state": "state:",  # zset: ids of the jobs in a state, by the time they entered it
    "owner": "owner:",  # zset: ids of an owner's jobs, by submission
    "tag": "tag:",  # zset: ids of the jobs with a tag, by submission
    "after": "after:",  # set: ids of the jobs waiting for a job
    "due": "due",  # zset: ids waiting for their start, by start time
    "ended": "ended:",  # zset: ids of an owner's ended jobs that may go, by their last use and as long as they are kept
    "read": "read",  # zset: ids of ended jobs that were read, by the time they expire
    "heads": "heads",  # zset: owners of ended jobs, by when the first of theirs may expire
    "owners": "owners",  # zset: owners, by how many ended jobs they have
    "weights": "weights",  # zset: owners, by the bytes of their ended jobs, where these are bounded
    "retention": "retention",  # hash: ended jobs held, their bytes, and which half of the book is written to
    "pinned": "pinned",  # zset: ids of pinned jobs, by when the last of their pins is over
    "pins": "pins:",  # zset: who has a job pinned, by until when
    "pinners": "pinners",  # hash: owner -> how many of its jobs are pinned
    "family": "family:",  # hash: how many of a family live, and when the last one ended
    "kin": "kin:",  # list: ids of those of a family that have ended and wait for the others
    "families": "families",  # zset: families of which none lives, by when their members need not wait any longer
    "gone": "gone:",  # hash: what is still known of jobs whose record has gone; two halves
    "outbox": "outbox",  # zset: ids whose message is still to be published, by when to look again
    "workers": "workers",  # zset: workers (node|boot), by the time their lease runs out
    "held": "held:",  # set: ids of the jobs a worker holds
    "orders": "orders:",  # list: what a worker is to tell its jobs
    "deadlines": "deadlines",  # zset: ids of running jobs, by the end of their maximum run time
    "reached": "reached",  # hash: queue~priority -> when the last job that started there had been queued
    "suspects": "suspects",  # zset: ids of queued jobs whose message may be lost, by when that was first thought
    "lock": "lock:",  # hash: who holds a lock: id -> fence; the empty field says whether they share it
    "waiters": "waiters:",  # zset: who waits for a lock, as kind and id, by ticket
    "rate": "rate:",  # zset: what was let through under a rate in its last period, by time
    "locks": "locks",  # set: names of locks that are held or waited for
    "tickets": "tickets",  # string: the last ticket or fence given
    "openings": "openings",  # zset: names of locks, by when to look at who waits for them
    "blocked": "blocked:",  # zset: ids of the jobs a block holds back, by queue time
    "blocks": "blocks",  # hash: kind and name of a block -> state, since, until, by, reason as JSON
    "definition": "definition:",  # hash: a definition
    "definitions": "definitions",  # zset: ids of all definitions
    "declared": "declared",  # hash: id -> what code declares of a definition
    "ticks": "ticks",  # zset: ids of definitions by when their next slot fires; ID~backup by when that is due
    "expiring": "expiring",  # zset: ids of definitions that are deleted then
    "throttled": "throttled:",  # string: the last start that was granted to a throttled key
    "history": "history",  # stream: executions of definitions
    "executions": "executions:",  # zset: where the executions of one definition stand in the history, by their end
    "children": "children:",  # zset: ids of the jobs a job has started, in order; what it sent by canvas by time
    "rollback": "rollback:",  # list: compensations of a job, oldest first: id, a tab, fields as JSON
    "unsettled": "unsettled",  # zset: ids of jobs whose family somebody has to look at, by when the next one may
    "runtimes": "runtimes",  # hash: task -> ms a run of it takes, as learned; under no name until when
    "about": "about",  # hash: schema and epoch of the namespace
    "clock": "clock",  # string: what the test build of the scripts takes for the time
    "events": "events:",  # channel: transitions of a job
}


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one namespace; they share one hash tag, so that scripts run on Redis Cluster."""

    namespace: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.namespace):
            raise InvalidOption(
                option="jobkit_namespace",
                value=self.namespace,
                allowed="letters, digits, '_', '.' and '-', at most 128, beginning with a letter or digit",
            )

    @property
    def base(self) -> str:
        """What every key of the namespace begins with."""
        return f"{{{self.namespace}}}:"

    def key(self, kind: str, name: str = "") -> str:
        """The key of this kind and name."""
        return self.base + KINDS[kind] + name

    def job(self, job_id: str) -> str:
        """The record of a job; also the channel its result is announced on."""
        return self.key("job", job_id)

    def state(self, state: State) -> str:
        """The index of the jobs in a state."""
        return self.key("state", state.value)


def checked_id(job_id: str) -> str:
    """The id, if it can be one.  Raises: `InvalidOption`."""
    if not job_id or len(job_id) > 255 or not job_id.isprintable():
        raise InvalidOption(option="job_id", value=job_id, allowed="must be 1 to 255 printable characters")
    return job_id


def kind_of(rest: str) -> tuple[str, str]:
    """The kind of a key without its base, and what it is called; "" where it is of no kind."""
    for kind, prefix in KINDS.items():
        if rest == prefix or (prefix.endswith(":") and rest.startswith(prefix)):
            return kind, rest.removeprefix(prefix)
    return "", rest


def lua_names(kinds: Container[str] | None = None) -> str:
    """The same kinds (or these of them) as a Lua table, which the scripts begin with."""
    rows = (f'{kind} = "{prefix}"' for kind, prefix in KINDS.items() if kinds is None or kind in kinds)
    return "local KINDS = {" + ", ".join(rows) + "}\n"

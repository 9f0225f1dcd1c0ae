"""What every job should look like after any order of verbs: the small model the store is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jobkit.states import RESTART_OF, VERBS, State

KEEP = 50  # ms an ended job is kept

Begin = Literal["now", "later", "idle"]


@dataclass
class Wish:
    """What was asked of a run that has not begun."""

    begin: Begin = "now"
    start: int = 0
    after: str = ""
    owner: str = ""
    tag: str = ""
    message: str = ""


@dataclass
class Model:
    """One job: a path, and what the table says of its last state."""

    state: State = State.QUEUED
    run: int = 0
    next: Wish | None = None
    start: int = 0
    after: str = ""
    owner: str = ""
    tag: str = ""
    message: str = ""
    checkpoint: str = ""
    expires: int = 0
    owed: bool = False
    path: list[tuple[int, State]] = field(default_factory=list)

    def may(self, verb: str) -> bool:
        return self.state in VERBS[verb].sources

    @property
    def claimed(self) -> bool:
        return (self.run, State.RUNNING) in self.path

    def go(self, verb: str) -> None:
        assert self.may(verb)
        self.to(VERBS[verb].target)

    def to(self, state: State) -> None:
        self.state = state
        self.path.append((self.run, state))


class Models(dict[str, Model]):
    """All jobs that are there, by id, and the time."""

    now: int = 0

    def held(self, job: Model) -> bool:
        return job.after in self and self[job.after].state.is_live

    def submit(self, job_id: str, wish: Wish) -> bool:
        """True if it begins, False if it is kept as the next run."""
        job = self.setdefault(job_id, Model())
        if job.path and job.state.is_live and not job.may("replace"):
            job.next = wish
            return False
        if job.path and job.may("replace"):
            job.go("replace")
        job.owner, job.tag, job.message = wish.owner, wish.tag, wish.message
        self.begin(job, wish)
        return True

    def begin(self, job: Model, wish: Wish) -> None:
        job.run, job.after, job.start, job.owed = job.run + 1, wish.after, wish.start, False
        if wish.begin == "idle":
            job.to(State.SUSPENDED)
        elif self.held(job):
            job.to(State.WAITING_FOR_PREDECESSOR)
        else:
            job.to(State.WAITING_FOR_START if wish.start > self.now else State.QUEUED)

    def end(self, job_id: str, verb: str, *, again: bool = False) -> None:
        job = self[job_id]
        job.go(verb)
        if again and job.message and not job.next:
            job.next = Wish()
        if job.next:
            wish, job.next = job.next, None
            job.go(RESTART_OF[job.state])
            job.owner, job.tag = wish.owner or job.owner, wish.tag or job.tag
            job.message = wish.message or job.message
            self.begin(job, wish)
            job.owed = job.state is State.QUEUED
            return
        job.expires = self.now + KEEP
        if verb == "finish":
            job.message = ""
        for other in self.values():
            if other.state is State.WAITING_FOR_PREDECESSOR and other.after == job_id:
                other.owed = other.start <= self.now
                other.to(State.QUEUED if other.owed else State.WAITING_FOR_START)

    def take(self) -> None:
        for job in self.values():
            if job.state is State.WAITING_FOR_START and job.start <= self.now:
                job.owed = not self.held(job)
                job.to(State.QUEUED if job.owed else State.WAITING_FOR_PREDECESSOR)

    def prune(self) -> int:
        over = [job_id for job_id, job in self.items() if not job.state.is_live and job.expires <= self.now]
        for job_id in over:
            del self[job_id]
        return len(over)

"""What a job should look like after any order of verbs: the small model the store is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jobkit.states import VERBS, State

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
    """What a job should look like."""

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

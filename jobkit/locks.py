"""What a job has to hold while it is at work: named locks, exclusive or shared; semaphores; rates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jobkit.errors import InvalidOption

#: Locks one job may declare.
MOST = 16


@dataclass(frozen=True, slots=True)
class Lock:
    """A named lock: ``Lock("catalog")`` has one holder, ``Lock("catalog", shared=True)`` any number of sharing ones."""

    name: str
    shared: bool = field(default=False, kw_only=True)

    @property
    def kind(self) -> str:
        """How the store calls it: s for shared, x for at most so many, r for a rate."""
        return "s" if self.shared else "x"

    @property
    def holders(self) -> int:
        """How many may hold it, or pass in a period."""
        return 1

    @property
    def period(self) -> int:
        """Milliseconds of a rate's period; 0 for what is held."""
        return 0

    def __post_init__(self) -> None:
        name = self.name
        if not isinstance(name, str) or not 0 < len(name) <= 128 or not name.isprintable():
            raise InvalidOption(option="Lock(name)", value=name, allowed="must be 1 to 128 printable characters")


@dataclass(frozen=True, slots=True)
class Semaphore(Lock):
    """At most `most` jobs hold the name at once: ``Semaphore("api", most=3)``."""

    most: int = 1

    @property
    def holders(self) -> int:
        """How many may hold it."""
        return self.most

    def __post_init__(self) -> None:
        Lock.__post_init__(self)
        _whole("Semaphore(most)", self.most)
        if self.shared:
            raise InvalidOption(option="Semaphore(shared)", value=True, allowed="a semaphore has `most` holders")


@dataclass(frozen=True, slots=True)
class Rate(Lock):
    """At most `most` runs are queued in any `per` seconds: ``Rate("mail", most=10, per=60)``.  Every run counts."""

    most: int = 1
    per: float = 1.0

    @property
    def kind(self) -> str:
        """A rate."""
        return "r"

    @property
    def holders(self) -> int:
        """How many may pass in a period."""
        return self.most

    @property
    def period(self) -> int:
        """Milliseconds of its period."""
        return int(self.per * 1000)

    def __post_init__(self) -> None:
        Lock.__post_init__(self)
        _whole("Rate(most)", self.most)
        if isinstance(self.per, bool) or not isinstance(self.per, int | float) or not 0.001 <= self.per <= 1e7:
            raise InvalidOption(option="Rate(per)", value=self.per, allowed="must be seconds, 0.001 or more")


def _whole(option: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
        raise InvalidOption(option=option, value=value, allowed="must be a whole number, 1 to 1,000,000")


def checked(option: str, given: Iterable[str | Lock]) -> tuple[Lock, ...]:
    """The locks a job is to hold, each name once.  Raises: `InvalidOption`."""
    if isinstance(given, str | Lock):
        given = (given,)
    found: dict[str, Lock] = {}
    for one in given:
        lock = one if isinstance(one, Lock) else Lock(one)
        if found.setdefault(lock.name, lock) != lock:
            raise InvalidOption(option=option, value=lock.name, allowed="the same name is asked for in two ways")
    if len(found) > MOST:
        raise InvalidOption(option=option, value=tuple(found), allowed=f"at most {MOST} for one job")
    return tuple(found.values())


def to_text(locks: Iterable[Lock]) -> str:
    """The locks as they are kept with a record: kind, how many, ms of a period, name."""
    return "\n".join(f"{lock.kind} {lock.holders} {lock.period} {lock.name}" for lock in locks)


def from_text(text: str) -> tuple[Lock, ...]:
    """Kept locks again.  Raises: `ValueError` for what is none."""
    return tuple(_read(*line.split(" ", 3)) for line in text.split("\n"))


def _read(kind: str, most: str, period: str, name: str) -> Lock:
    if kind == "r":
        return Rate(name, most=int(most), per=int(period) / 1000)
    return Semaphore(name, most=int(most)) if int(most) > 1 else Lock(name, shared=kind == "s")

"""The settings of jobkit: one frozen object, read from the app's configuration and checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from jobkit.errors import InvalidOption, nearest
from jobkit.states import Outcome
from jobkit.store.durability import KINDS, MEMORY
from jobkit.store.keys import Keys

#: What every option of ours begins with in the app's configuration.
PREFIX = "jobkit_"
#: Seconds that have to be there for a write to be confirmed: Redis writes to its disk once a second.
LEAST_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Every option, with its default; in the app's configuration each has the prefix ``jobkit_``.

    * `namespace`: which jobs belong together; also the hash tag of all keys.
    * `backend`: URL of the store's Redis; "" means the result backend's Redis, else the broker's.
    * `retention`: seconds an ended job is kept [HV: 5 minutes], or a mapping of outcomes to seconds
      (``{"FAILED": 86400}``; the others 300); None: 300, or the app's own `result_expires`.  A task's own `retention`
      wins, and `keep` of a single job wins over both.
    * `retention_jobs`: how many ended jobs are kept at most [HV: 4096]; the least recently used go first, of the owner
      with the most.  0: any number; None: 4096, or any number where the app's own `result_expires` says how long.
    * `retention_bytes`: how many bytes their records may take; 0: any number.
    * `retention_least`: seconds an ended job is kept in any case, unless memory itself is at stake.
    * `allow_eviction`: start workers also on a Redis that may take live jobs when it is full (``allkeys-…``).
    * `pins`: how many of one owner's jobs may be pinned (those that are waited for are).
    * `gone_jobs`, `gone_retention`: of how many jobs whose record has gone it stays known what became of them, and for
      how many seconds at most.
    * `max_message_bytes`: the largest message that is accepted.
    * `unrecorded`: run messages that no record knows, as clients without jobkit send them; with False nothing is run
      for those who can only write to the broker.
    * `transport`: take messages from a Redis broker, and put them there, in fewer round trips, where it is the store's
      Redis too; False: as kombu does.
    * `celery_results`: also write Celery's own result key, for clients that do not have jobkit.
    * `patience`: seconds a client's call is tried again while Redis does not answer, or has not confirmed a job.
    * `durability`: when a job is accepted: once it is in the "memory" of Redis, on its disk ("fsync", from Redis 7.2
      on), or on a "replica".
    * `strict_claims`: have a job's start, its end and who tells it of that wait for the same, before anybody acts.
    * `keeper_interval`: seconds between two rounds of a worker's keeper (due starts, owed messages, expiry).
    * `lease`: seconds without a proof of life until a worker's runs are taken over.
    * `renew`: seconds between two proofs of life, at most a third of the lease: who judges others has to know that
      each of them has tried again.
    * `beat_in_worker`: fire what is due in every worker too, as `celery beat -S jobkit` does.
    * `history_days`: days executions of definitions are kept [TFS: 31], and `history_bytes`, how many bytes of them.
    * `archive_backend`: URL of a database, as SQLAlchemy takes it, where workers keep them for good; "" for none.
    * `on_finished_limit`: seconds a task's `on_finished` may take before it is stopped [WI: one minute].
    * `priorities`: give every job a broker priority: short ones first, what its caller raised, whoever has waited long.
    * `ageing`: seconds a queued job waits at one priority until it is raised to the next.
    * `max_rescues`: how often a task that may run twice (`acks_late`, …) is run again because its worker vanished.
    """

    namespace: str = "jobkit"
    backend: str = ""
    retention: float | Mapping[str, float] | None = None
    retention_jobs: int | None = None
    retention_bytes: int = 0
    retention_least: float = 30.0
    allow_eviction: bool = False
    pins: int = 10_000
    gone_jobs: int = 20_000
    gone_retention: float = 86_400.0
    max_message_bytes: int = 8 * 1024 * 1024
    unrecorded: bool = True
    transport: bool = True
    celery_results: bool = False
    patience: float = 3.0
    durability: str = MEMORY
    strict_claims: bool = False
    keeper_interval: float = 0.5
    lease: float = 10.0
    renew: float = 3.0
    on_finished_limit: float = 60.0
    max_rescues: int = 3
    priorities: bool = False
    ageing: float = 60.0
    beat_in_worker: bool = False
    history_days: float = 31.0
    history_bytes: int = 64 * 1024 * 1024
    archive_backend: str = ""


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_retention(value: Any) -> bool:
    """Can this say how long ended jobs are kept?"""
    if isinstance(value, Mapping):
        return all(name in Outcome.__members__ and _seconds(each) for name, each in value.items())
    return value is None or _seconds(value)


#: What `is_retention` allows, in words.
RETENTION = f"seconds, 0 or more, or such for some of {', '.join(Outcome.__members__)}"


def seconds(option: str, value: Any) -> float:
    """The value, if it is a length of time.  Raises: `InvalidOption`."""
    if not _seconds(value):
        raise InvalidOption(option=option, value=value, allowed="must be seconds, 0 or more")
    return float(value)


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "namespace": (lambda value: isinstance(value, str), "a name"),
    "backend": (lambda value: isinstance(value, str), "a Redis URL"),
    "retention": (is_retention, RETENTION),
    "retention_jobs": (lambda value: value is None or _count(value, 0), "a number, 0 or more, or None"),
    "retention_bytes": (lambda value: _count(value, 0), "a number of bytes, 0 or more"),
    "retention_least": (_seconds, "seconds, 0 or more"),
    "allow_eviction": (lambda value: isinstance(value, bool), "True or False"),
    "pins": (lambda value: _count(value, 0), "a number, 0 or more"),
    "gone_jobs": (_count, "a number above 0"),
    "gone_retention": (lambda value: _seconds(value) and value > 0, "seconds above 0"),
    "max_message_bytes": (lambda value: isinstance(value, int) and value > 0, "a number of bytes above 0"),
    "unrecorded": (lambda value: isinstance(value, bool), "True or False"),
    "transport": (lambda value: isinstance(value, bool), "True or False"),
    "celery_results": (lambda value: isinstance(value, bool), "True or False"),
    "patience": (_seconds, "seconds, 0 or more"),
    "durability": (lambda value: value in KINDS, f"one of {', '.join(KINDS)}"),
    "strict_claims": (lambda value: isinstance(value, bool), "True or False"),
    "keeper_interval": (lambda value: _seconds(value) and value > 0, "seconds above 0"),
    "lease": (lambda value: _seconds(value) and value > 0, "seconds above 0"),
    "renew": (lambda value: _seconds(value) and value > 0, "seconds above 0"),
    "history_days": (lambda value: _seconds(value) and value > 0, "a number of days above 0"),
    "history_bytes": (lambda value: isinstance(value, int) and value > 0, "a number of bytes above 0"),
    "archive_backend": (lambda value: isinstance(value, str), "a URL of SQLAlchemy"),
    "beat_in_worker": (lambda value: isinstance(value, bool), "True or False"),
    "on_finished_limit": (lambda value: _seconds(value) and value > 0, "seconds above 0"),
    "priorities": (lambda value: isinstance(value, bool), "True or False"),
    "ageing": (lambda value: _seconds(value) and value > 0, "seconds above 0"),
    "max_rescues": (lambda value: isinstance(value, int) and value >= 0, "a number, 0 or more"),
}


def read(conf: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    """The settings from the app's configuration and the arguments of `JobKit`, which win.

    Raises: `InvalidOption`, naming the option, its value and what is allowed.
    """
    known = {field.name for field in fields(Settings)}
    # Asked for by name, as Celery's namespaces (CELERY_JOBKIT_… under Django) answer only so; unknown ones are seen.
    named = {name.lower().partition(PREFIX)[2]: name for name in conf if PREFIX in name.lower()}
    found = {name: conf.get(PREFIX + name, conf.get(key)) for name, key in named.items()} | dict(given)
    for name, value in found.items():
        if name not in known:
            hint = nearest(PREFIX + name, {PREFIX + option for option in known})
            raise InvalidOption(option=PREFIX + name, value=value, allowed=f"there is no such option, {hint}")
        check, allowed = _CHECKS[name]
        if not check(value):
            raise InvalidOption(option=PREFIX + name, value=value, allowed=f"must be {allowed}")
    settings = Settings(**found)
    Keys(settings.namespace)
    _check_durability(settings)
    if settings.renew > settings.lease / 3:
        allowed = f"must be at most a third of {PREFIX}lease={settings.lease}"
        raise InvalidOption(option=PREFIX + "renew", value=settings.renew, allowed=allowed)
    return settings


def _check_durability(settings: Settings) -> None:
    if settings.strict_claims and settings.durability == MEMORY:
        allowed = f"needs {PREFIX}durability of fsync or replica, to say what it is to wait for"
        raise InvalidOption(option=PREFIX + "strict_claims", value=True, allowed=allowed)
    if settings.durability != MEMORY and settings.patience < LEAST_PATIENCE:
        allowed = f"must be {LEAST_PATIENCE} or more with {PREFIX}durability={settings.durability!r}"
        raise InvalidOption(option=PREFIX + "patience", value=settings.patience, allowed=allowed)

"""Everything jobkit raises on purpose.

::

    JobkitError
    ├── JobNotFound              (also a LookupError)
    │   ├── JobUnknown           no such job ever
    │   └── JobExpired           it was there, its record has gone
    ├── DefinitionUnknown        (also a LookupError) no such definition
    ├── DefinitionConflict       somebody else has changed it meanwhile
    ├── TooManyPins              as many of an owner's jobs are pinned as may be
    ├── IllegalTransition        the graph has no such edge from where the job stands
    ├── ChildFailed              a child that its parent cannot do without ended badly
    ├── CannotSpawn              (also a ValueError) more children, compensations or levels than one job may have
    ├── Fenced                   the run has another owner by now
    ├── InvalidOption            (also a ValueError) an option, its value, what is allowed
    ├── NotAllSubmitted          it broke in the middle: which were accepted, and which are left
    ├── PayloadError             (also a ValueError)
    │   ├── NotSerializable      arguments that cannot travel
    │   └── PayloadTooLarge      arguments larger than the limit
    ├── StoreError               Redis answered, but not as it must
    │   ├── StoreUnavailable     Redis does not answer
    │   ├── UnsafeStore          Redis itself would take jobs
    │   ├── StoreRefused         wrong password, missing right, read-only, out of memory
    │   │   └── CannotConfirm    it has no disk or replica of which `jobkit_durability` could hear
    │   ├── NotConfirmed         recorded, but not on the disk or the replica in time
    │   ├── SchemaMismatch       the data was written by another major version
    │   └── BadRecord            a record that cannot be read
    ├── ArchiveError             the database of the archive did not do as told
    └── EmbeddedServerError      the private Redis cannot be started

The docstring of each class is its message; the facts are attributes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from jobkit.states import Outcome, State


class JobkitError(Exception):
    """Something went wrong in jobkit."""

    def __init__(self, *text: Any, **facts: Any) -> None:
        self.__dict__.update(facts)
        self.facts = facts
        # A result backend that reads it again has only its text.
        super().__init__(*(text or [(type(self).__doc__ or "").split("\n\n")[0].format(**facts)]))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.facts)


def _rebuild(kind: type[JobkitError], text: tuple[Any, ...], facts: dict[str, Any]) -> JobkitError:
    return kind(*text, **facts)


class JobNotFound(JobkitError, LookupError):
    """job {job_id} cannot be found"""

    job_id: str


class JobUnknown(JobNotFound):
    """no job {job_id} was ever recorded in namespace {namespace!r}"""

    namespace: str


class JobExpired(JobNotFound):
    """job {job_id} has expired: {story}

    What is still known of it: `state`, `outcome`, `message`, `ended_at` (each None or "" where that is forgotten too),
    when its record went, and `why`: age, cap, bytes, memory, deleted, or unknown.
    """

    namespace: str
    state: State | None
    outcome: Outcome | None
    message: str
    ended_at: datetime | None
    gone_at: datetime | None
    why: str
    story: str


class DefinitionUnknown(JobkitError, LookupError):
    """there is no definition {definition_id} in namespace {namespace!r}"""

    definition_id: str
    namespace: str


class DefinitionConflict(JobkitError):
    """definition {definition_id} was changed by {by} meanwhile: this change was made to version {expected}, it has \
version {found} now; nothing was changed

    `mine` is what was to be written, `theirs` what is stored (None: it was deleted).
    """

    definition_id: str
    expected: int
    found: int
    by: str
    mine: Any
    theirs: Any


class TooManyPins(JobkitError):
    """job {job_id} was not pinned: {limit:,} jobs of its owner are already (jobkit_pins)"""

    job_id: str
    limit: int


class IllegalTransition(JobkitError):
    """job {job} cannot go from {source} to {target}"""

    job: str
    source: str
    target: str


class Fenced(JobkitError):
    """run {run} of job {job_id} belongs to another owner by now: this write was refused and changed nothing"""

    job_id: str
    run: int


class ChildFailed(JobkitError):
    """child {child} ({task}) ended {state}: {reason}"""

    child: str
    task: str
    state: str
    reason: str


class CannotSpawn(JobkitError, ValueError):
    """job {job_id} cannot start this for itself: {reason}"""

    job_id: str
    reason: str


class InvalidOption(JobkitError, ValueError):
    """{option}={value!r}: {allowed}"""

    option: str
    value: Any
    allowed: str


class NotAllSubmitted(JobkitError):
    """{accepted} of the jobs were accepted, then: {reason}

    `handles` has the results of those; `rest` is what was not, or not for sure: `submit_many(exc.rest, again=True)`
    goes on with it, and takes none twice.
    """

    accepted: int
    handles: list[Any]
    rest: Iterable[Any]


class PayloadError(JobkitError, ValueError):
    """the arguments of {task} cannot be sent"""

    task: str


class NotSerializable(PayloadError):
    """the arguments of {task} cannot be written as {serializer}: {reason}"""

    serializer: str
    reason: str


class PayloadTooLarge(PayloadError):
    """the message of {task} has {size:,} bytes, the limit is {limit:,} (jobkit_max_message_bytes): \
put the data where both sides can read it and send its address"""

    size: int
    limit: int


class StoreError(JobkitError):
    """Redis at {url} did not do as told: {reason}"""

    url: str
    reason: str


class StoreUnavailable(StoreError):
    """Redis at {url} does not answer: {reason}"""

    #: Nothing at all came back: it may be cut off from here and answer others.  Not so where the connection was
    #: refused, or Redis said that it is loading or busy: then it is down for everybody.
    silent: bool = False


class StoreRefused(StoreError):
    """Redis at {url} refused: {reason}"""


class CannotConfirm(StoreRefused):
    """{option}={value!r}: Redis at {url} cannot confirm that: {reason}"""

    option: str
    value: str


class NotConfirmed(StoreError):
    """job {job_id}{more} is recorded, but not confirmed ({option}={value!r}): {reason}

    It runs like any other, unless it goes with the Redis at `url` before it gets there.  `job_ids` has all it is said
    of.  ``submit_many([signature.set(task_id=exc.job_id)], again=True)`` submits it once more where it has gone, and
    returns as soon as it is confirmed; it never makes two of one.
    """

    option: str
    value: str
    job_id: str
    job_ids: tuple[str, ...]
    #: What the script answered, and what that means, for who has to go on.
    answer: Any = None
    verdict: Any = None


class UnsafeStore(StoreError):
    """Redis at {url} may take live jobs when it is full ({reason}): CONFIG SET maxmemory-policy noeviction, \
or volatile-lru; jobkit_allow_eviction=True starts all the same"""


class SchemaMismatch(StoreError):
    """the data in namespace {namespace!r} has schema {found}, this jobkit reads schema {expected}: {reason}"""

    namespace: str
    found: str
    expected: int


class BadRecord(JobkitError):
    """the record of job {job_id} cannot be read: field {field} is {value!r}"""

    job_id: str
    field: str
    value: str


class ArchiveError(JobkitError):
    """the archive of executions did not do as told: {reason}"""

    reason: str


class EmbeddedServerError(JobkitError):
    """{reason}"""

    reason: str


def nearest(word: str, known: Iterable[str]) -> str:
    """What to say of an unknown name: the nearest known one, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, 1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"

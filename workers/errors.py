"""What the disk jobs refuse, and how they say it.

::

    DiskError            (also a ValueError)
    ├── InvalidDisk      one value of one disk
    ├── InvalidList      one value on one line of a list
    ├── DiskExists       a file of that name is there already
    ├── DiskFailed       the file system refused
    └── NothingCreated   not one disk of a list came to be

The docstring of each class is its message; the facts are positional arguments, so that every serializer of
Celery can carry them and rebuild the error, and attributes.
"""

from __future__ import annotations

from typing import Any, ClassVar


class DiskError(ValueError):
    """a disk was refused"""

    facts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        self.__dict__.update(zip(self.facts, values, strict=True))

    def __str__(self) -> str:
        return (type(self).__doc__ or "").format(**self.__dict__)


class InvalidDisk(DiskError):
    """{column} is {value!r:.80}; allowed: {allowed}"""

    facts = ("column", "value", "allowed")
    column: str
    value: Any
    allowed: str


class InvalidList(DiskError):
    """{file}, line {line}: {column} is {value!r:.80}; allowed: {allowed}"""

    facts = ("file", "line", "column", "value", "allowed")
    file: str
    line: int
    column: str
    value: Any
    allowed: str


class DiskExists(DiskError):
    """{name} exists already in {directory}"""

    facts = ("name", "directory")
    name: str
    directory: str


class DiskFailed(DiskError):
    """{name} cannot be created in {directory}: {reason}"""

    facts = ("name", "directory", "reason")
    name: str
    directory: str
    reason: str


class NothingCreated(DiskError):
    """none of {count} disks was created: {reasons}"""

    facts = ("count", "reasons")
    count: int
    reasons: str

"""Disk images as files: sparse, with a few blocks of real data, and never seen half-written under their name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from workers.disk_list import Disk
from workers.errors import DiskExists, DiskFailed

READ_AT_ONCE = 16 * 1024**2
BLOCK = 4096
BLOCKS = 8


class Image(TypedDict):
    """A created disk image: its file name, its size, and the SHA-256 of its whole content."""

    name: str
    bytes: int
    sha256: str


@contextmanager
def new_image(disk: Disk, directory: Path, maker: str, on_read: Callable[[int], None]) -> Iterator[Image]:
    """Create one image, read it back, and hand it out; the body of the ``with`` writes down that it is there.

    Parameters: the disk; an existing directory; `maker`, which is the same each time the same job makes the same
    disk; `on_read`, called with the number of bytes read so far, after each piece.
    Raises `DiskExists`, `DiskFailed`.  After an exception, or when the same maker comes again after its process
    was killed, the image is taken back: what was never written down is not there.
    """
    final, part = directory / disk["name"], directory / f".{disk['name']}.{_mark(maker)}.part"
    try:
        with _named(disk["name"], directory):
            _take_back(part, final)
            if os.path.lexists(final):
                raise FileExistsError
            write(part, disk)
            digest = sha256(part, on_read)
            os.link(part, final)
        yield Image(name=disk["name"], bytes=disk["size"], sha256=digest)
    except BaseException:
        _take_back(part, final)
        raise
    part.unlink()


def write(path: Path, disk: Disk) -> None:
    """Make a new sparse file with a few blocks of data, always the same ones for the same disk."""
    name, size = disk["name"], disk["size"]
    with path.open("xb") as file:
        file.truncate(size)
        for offset in range(0, size, max(BLOCK, size // BLOCKS)):
            file.seek(offset)
            file.write(hashlib.shake_256(f"{name}@{offset}".encode()).digest(min(BLOCK, size - offset)))


def sha256(path: Path, on_read: Callable[[int], None]) -> str:
    """The SHA-256 of a file, in hexadecimal, from reading all of it; `on_read` hears of the bytes read so far."""
    done = 0
    digest, buffer = hashlib.sha256(), memoryview(bytearray(READ_AT_ONCE))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            done += count
            on_read(done)
    return digest.hexdigest()


def describe(image: Image) -> str:
    """One line for people."""
    return f"{image['name']}: {image['bytes']:,} bytes, SHA-256 {image['sha256']}"


def _mark(maker: str) -> str:
    return hashlib.sha256(maker.encode()).hexdigest()[:16]


def _take_back(part: Path, final: Path) -> None:
    # The hidden second link is the proof that the file under the final name is this maker's own.
    if part.exists() and final.exists() and part.samefile(final):
        final.unlink()
    part.unlink(missing_ok=True)


@contextmanager
def _named(name: str, directory: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise DiskExists(name, str(directory)) from None
    except OSError as error:
        raise DiskFailed(name, str(directory), error.strerror or str(error)) from error

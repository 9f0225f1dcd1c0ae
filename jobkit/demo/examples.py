"""Where the example workers lie: beside jobkit in a checkout, inside this package once it is installed.

An installed distribution has no top-level package ``workers``: the name belongs to other people.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

#: The app of the example workers.
APP = "workers.app"

_SHIPPED = Path(__file__).with_name("shipped")
_CHECKOUT = Path(__file__).parents[2]


def folder() -> Path:
    """The folder to import `workers` from."""
    return _SHIPPED if _SHIPPED.is_dir() else _CHECKOUT


def python_path() -> str:
    """PYTHONPATH for processes that import `workers`."""
    before = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.pathsep.join(dict.fromkeys([str(folder()), *before]))


def make_importable() -> None:
    """Let this process import `workers`, and no other package of that name."""
    sys.path.insert(0, str(folder()))

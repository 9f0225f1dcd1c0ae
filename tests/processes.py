"""Processes that tests look at from outside."""

from __future__ import annotations

import psutil


def gone(pid: int) -> bool:
    """Whether a process has died; it stays visible until its parent, or a lazy init, has reaped it."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True

"""Pool processes that died: Celery often misses it, and then looks every five seconds; a job need not wait so long."""

from __future__ import annotations

import os
from typing import Any


def look(worker: Any) -> bool:
    """Have the pool look now if a process of it has died; true if so.  Other pools have no processes."""
    pool: Any = getattr(worker.pool, "_pool", None)
    if not hasattr(pool, "maintain_pool") or not hasattr(os, "waitid"):
        return False
    died = any(_has_died(process.pid) for process in tuple(pool._pool))
    if died:
        worker.consumer.call_soon(pool.maintain_pool)  # in the thread the pool belongs to
    return died


def _has_died(pid: int | None) -> bool:
    try:  # it is looked at and not reaped: the pool does that
        return pid is not None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False

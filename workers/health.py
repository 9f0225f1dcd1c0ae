"""Proof of life for a container's health check: a file, touched whenever the main loop of the process turns.

::

    celery -A workers worker --include workers.health
    celery -A workers beat --scheduler workers.health.Beat --max-interval 30

The check then only looks how old the file is: it starts no Python, and disturbs no worker that is busy.  A worker
touches it at every heartbeat, each two seconds, and not while it has lost its broker.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from celery.beat import PersistentScheduler
from celery.signals import heartbeat_sent

ALIVE = Path(tempfile.gettempdir(), "alive")


def touch(**_: object) -> None:
    """Say that the main loop turned just now."""
    ALIVE.touch()


heartbeat_sent.connect(touch)


class Beat(PersistentScheduler):
    """Celery's own scheduler, which touches the file at every tick."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Publish what is due; returns the seconds until the next tick."""
        touch()
        return super().tick(*args, **kwargs)

"""The application that runs in a worker container: ``celery -A workers worker``."""

from __future__ import annotations

from workers.app import app as celery

__all__ = ["celery"]

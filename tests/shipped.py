"""The shipped application with kombu's own transport, which none of its variables asks for."""

from __future__ import annotations

from workers.app import app, jobs

app.conf.jobkit_transport = False

__all__ = ["app", "jobs"]

"""`delay()` of a task that was sent before: its message is made like the one Celery has made."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jobkit.errors import StoreUnavailable
from jobkit.ext import amqp, batch
from jobkit.ext.ids import uuid7
from jobkit.ext.templates import Template, is_plain, is_watched
from jobkit.store import bulk
from jobkit.store.bulk import Entry
from jobkit.store.values import NOWHERE, operation

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit


class Repeating:
    """What this thread of this process has sent so far: messages say who sent them."""

    def __init__(self, jobs: JobKit) -> None:
        self._jobs, self._local = jobs, threading.local()

    def send(self, task: Any, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None) -> Any:
        """Submit it like the last one; None where Celery has to make it.  Raises: as `apply_async`."""
        template = self._templates.get(task.name)
        if template is None or amqp.is_wished() or batch.current():
            return None
        if not template.holds:
            del self._templates[task.name]
            return None
        job_id = uuid7()
        made = template.row(job_id, args or (), kwargs or {})
        if made is None:
            return None
        like, row = bulk.alone(template.like, made[0])
        store = self._jobs.store
        try:
            bulk.submit(store, like, [row], operation(), store.submitted(job_id))
        except StoreUnavailable as exc:
            raise amqp.SubmitFailed(**exc.facts) from exc
        return template.result(job_id)

    @contextmanager
    def learning(self, task: Any, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None) -> Iterator[None]:
        """What is sent inside is made by Celery: those after it may be like it."""
        if task.name in self._templates or is_watched(self._jobs.app) or amqp.is_wished() or batch.current():
            yield
            return
        with amqp.noting() as entries:
            yield
        if len(entries) == 1 and entries[0].put is not NOWHERE:
            self._templates[task.name] = self._template(task, args or (), kwargs or {}, entries[0])

    def _template(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], entry: Entry) -> Template | None:
        try:
            return Template(self._jobs, task, args, kwargs, entry) if is_plain(self._jobs, task) else None
        except ValueError:
            return None

    @property
    def _templates(self) -> dict[str, Template | None]:
        """By task; None of one that Celery makes each time."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.pid, self._local.known = os.getpid(), {}
        known: dict[str, Template | None] = self._local.known
        return known

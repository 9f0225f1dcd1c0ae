"""The AsyncResult application code gets: Celery's, which knows its job."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from celery.app import app_or_default
from celery.result import AsyncResult
from vine import promise  # type: ignore[import-untyped]

from jobkit.errors import JobExpired
from jobkit.model import Job, Transition
from jobkit.states import State


class JobResult(AsyncResult):
    """Celery's result handle, with the job behind it.

    `state` and all else keep Celery's meaning; the job's own words are under `job`.
    """

    app: Any
    id: str
    parent: Any

    def __init__(
        self, id: str, backend: Any = None, task_name: str | None = None, app: Any = None, parent: Any = None
    ) -> None:
        if id is None:
            raise ValueError(f"AsyncResult requires valid id, not {type(id)}")
        # Celery's makes a promise besides, which is needed by those only that are waited for.
        self.app = app_or_default(app or self.app)
        self.id, self.parent, self.backend = id, parent, backend or self.app.backend
        self._cache: Any = None
        self._ignored = False

    @cached_property
    def on_ready(self) -> Any:
        """What is to be called once it is ready."""
        return promise(self._on_fulfilled, weak=True)

    def get(self, *args: Any, **options: Any) -> Any:
        """The result, as Celery gives it.  Raises: `JobExpired` at once where it has gone."""
        try:
            return super().get(*args, **options)
        except JobExpired:
            self.backend.remove_pending_result(self)
            raise

    @property
    def job(self) -> Job:
        """What the store knows of the job now.  Raises: `JobExpired`, `JobUnknown`."""
        job: Job = self.app.jobkit.get(self.id)
        return job

    def history(self) -> tuple[Transition, ...]:
        """Every transition of every run."""
        steps: tuple[Transition, ...] = self.app.jobkit.history(self.id)
        return steps

    def abort(self, reason: str = "", grace: float | None = None) -> State:
        """Abort the job; see `JobKit.abort`."""
        state: State = self.app.jobkit.abort(self.id, reason=reason, grace=grace)
        return state

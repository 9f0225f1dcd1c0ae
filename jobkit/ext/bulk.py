"""`submit_many`: thousands of jobs, recorded chunk by chunk; where it breaks it is known which were accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature

from jobkit.errors import NotAllSubmitted, NotConfirmed, StoreUnavailable
from jobkit.ext import batch
from jobkit.ext.batch import Added, Batch, batched
from jobkit.ext.ids import uuid7
from jobkit.ext.templates import Template, is_plain

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

#: Options of a signature that make no two messages differ.
_EVEN = frozenset(
    {"queue", "routing_key", "priority", "serializer", "ignore_result", "time_limit", "soft_time_limit", "reply_to"}
)


class Bulk:
    """One call of `submit_many`.

    Parameters: `submit` sends one signature with the options of all; `again`, see there; `tell` is told how many were
    accepted.
    """

    def __init__(self, jobs: JobKit, submit: Callable[[Any], Any], again: bool, tell: Callable[[int], None]) -> None:
        self._jobs, self._submit, self._again, self._tell = jobs, submit, again, tell
        self._batch = Batch(jobs.store, again=again)
        self._templates: dict[str, tuple[Template, dict[str, Any]]] = {}
        self._open: list[Any] = []
        #: The results of those that were accepted, and of those that will be with the next chunk.
        self.handles: list[Any] = []
        self._begun = self._sure = 0

    def run(self, signatures: Iterable[Any]) -> list[Any]:
        """Submit them all."""
        source = iter(signatures)
        try:
            with batched(self._batch):
                self._add_all(source)
                self._settle()
        except Exception as exc:
            if self._batch.recorded or isinstance(exc, StoreUnavailable | NotConfirmed):
                raise self._left(exc, source) from exc
            raise
        return self.handles

    def _add_all(self, source: Iterable[Any]) -> None:
        try:
            for signature in source:
                self._open.append(signature)
                self.handles.append(self._one(signature))
                if self._batch.is_full or len(self.handles) - self._begun >= batch.JOBS:
                    self._start()
        except Exception:
            if not self._batch.failed:
                self._settle()  # what is wrong with one is not wrong with those before it
            raise

    def _start(self) -> None:
        """Begin with the next chunk: the one before it is recorded then."""
        self._batch.start()
        self._count()
        self._begun = len(self.handles)

    def _settle(self) -> None:
        self._start()
        self._batch.settle()
        self._batch.confirm()
        self._count()

    def _count(self) -> None:
        if not self._batch.is_sure:
            return
        del self._open[: self._begun - self._sure]
        self._sure = self._begun
        self._tell(self._sure)

    def _one(self, signature: Any) -> Any:
        if type(signature) is not Signature or not _EVEN.issuperset(options := _options(signature)):
            return self._alone(signature)
        name = signature["task"]
        template, same = self._templates.get(name, (None, None))
        if template and same == options and (self._again or "task_id" not in signature["options"]):
            return self._alike(template, signature)
        handle, made = self._alone(signature), self._batch.last()
        task = self._jobs.app.tasks.get(name)
        if template is None and made and task is not None and is_plain(self._jobs, task):
            with suppress(ValueError):
                template = Template(self._jobs, task, signature["args"], signature["kwargs"], made)
                self._templates[name] = template, options
        return handle

    def _alike(self, template: Template, signature: Signature) -> Any:
        # Read as what it is, a dict: its attributes are ten times as slow.
        job_id = signature["options"].get("task_id") or uuid7()
        made = template.row(job_id, signature["args"], signature["kwargs"])
        if made is None:
            return self._alone(signature)
        row, size = made
        self._batch.append(Added(template.like, row), size)
        return template.result(job_id)

    def _alone(self, signature: Any) -> Any:
        """Submit one that Celery makes; its id is known also where Redis does not answer."""
        if "task_id" not in getattr(signature, "options", ()):
            self._open[-1] = signature = _known_as(signature, uuid7())
        return self._submit(signature)

    def _left(self, exc: Exception, source: Iterable[Any]) -> NotAllSubmitted:
        ids = [getattr(handle, "id", None) for handle in self.handles[self._sure :]]
        first = [_known_as(one, job_id) for one, job_id in zip_longest(self._open, ids)]
        accepted = self.handles[: self._sure]
        return NotAllSubmitted(accepted=len(accepted), reason=exc, handles=accepted, rest=chain(first, source))


def _options(signature: Signature) -> dict[str, Any]:
    return {name: value for name, value in signature["options"].items() if name != "task_id"}


def _known_as(signature: Any, job_id: str | None) -> Any:
    """The same signature, for this job: submitted again it is not another one."""
    if job_id is None or (isinstance(signature, Signature) and signature.get("subtask_type")):
        return signature
    return (signature if isinstance(signature, Signature) else signature.s()).clone(task_id=job_id)

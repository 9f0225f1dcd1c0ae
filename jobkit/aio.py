"""The same for asyncio: every question as a coroutine, without blocking the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from jobkit.model import Finding, Footprint, Job, LockState, LogLine, Page, Reason, Run, Transition, Tree
from jobkit.states import State

T = TypeVar("T")


class AsyncClient:
    """Mixed into a client: ``aget`` is ``get``, and so on, each in a thread of its own while it talks to Redis."""

    async def aget(self, job_id: str) -> Job:
        """See `get`."""
        return await self._in_thread("get", job_id)  # type: ignore[no-any-return]

    async def aquery(self, **filters: Any) -> Page:
        """See `query`."""
        return await self._in_thread("query", **filters)  # type: ignore[no-any-return]

    async def acounts(self) -> dict[State, int]:
        """See `counts`."""
        return await self._in_thread("counts")  # type: ignore[no-any-return]

    async def ahistory(self, job_id: str) -> tuple[Transition, ...]:
        """See `history`."""
        return await self._in_thread("history", job_id)  # type: ignore[no-any-return]

    async def aruns(self, job_id: str) -> tuple[Run, ...]:
        """See `runs`."""
        return await self._in_thread("runs", job_id)  # type: ignore[no-any-return]

    async def alog(self, job_id: str) -> tuple[LogLine, ...]:
        """See `log`."""
        return await self._in_thread("log", job_id)  # type: ignore[no-any-return]

    async def areason(self, job_id: str, lines: int = 10) -> Reason:
        """See `reason`."""
        return await self._in_thread("reason", job_id, lines)  # type: ignore[no-any-return]

    async def atree(self, job_id: str) -> Tree:
        """See `tree`."""
        return await self._in_thread("tree", job_id)  # type: ignore[no-any-return]

    async def alocks(self) -> tuple[LockState, ...]:
        """See `locks`."""
        return await self._in_thread("locks")  # type: ignore[no-any-return]

    async def asubmit(self, signature: Any, **options: Any) -> Any:
        """See `submit`."""
        return await self._in_thread("submit", signature, **options)

    async def asubmit_many(self, signatures: Any, **options: Any) -> Any:
        """See `submit_many`."""
        return await self._in_thread("submit_many", signatures, **options)

    async def aabort_many(self, jobs: Any, *args: Any, **options: Any) -> dict[str, State | None]:
        """See `abort_many`."""
        return await self._in_thread("abort_many", jobs, *args, **options)  # type: ignore[no-any-return]

    async def await_one(self, job: Any, *, timeout: float | None = None) -> Job:
        """See `wait`, of which the usual name would be a word of Python's own."""
        return await self._in_thread("wait", job, timeout=timeout)  # type: ignore[no-any-return]

    async def await_many(self, jobs: Any, **options: Any) -> list[Job]:
        """See `wait_many`."""
        return await self._in_thread("wait_many", jobs, **options)  # type: ignore[no-any-return]

    async def aends(self, jobs: Any, *, timeout: float | None = None) -> AsyncIterator[Job]:
        """See `ends`."""
        ended: Iterator[Job] = self.ends(jobs, timeout=timeout)  # type: ignore[attr-defined]
        async for job in _in_threads(ended):
            yield job

    async def apin(self, job_id: str, **options: Any) -> None:
        """See `pin`."""
        await self._in_thread("pin", job_id, **options)

    async def aunpin(self, job_id: str, **options: Any) -> bool:
        """See `unpin`."""
        return await self._in_thread("unpin", job_id, **options)  # type: ignore[no-any-return]

    async def aforget(self, job_id: str) -> None:
        """See `forget`."""
        await self._in_thread("forget", job_id)

    async def adoctor(self, *, deep: bool = True) -> tuple[Finding, ...]:
        """See `doctor`."""
        return await self._in_thread("doctor", deep=deep)  # type: ignore[no-any-return]

    async def amemory(self) -> tuple[Footprint, ...]:
        """See `memory`."""
        return await self._in_thread("memory")  # type: ignore[no-any-return]

    async def aabort(self, job_id: str, reason: str = "", grace: float | None = None) -> State:
        """See `abort`."""
        return await self._in_thread("abort", job_id, reason, grace)  # type: ignore[no-any-return]

    async def apause(self, job_id: str, reason: str = "", grace: float | None = None) -> State:
        """See `pause`."""
        return await self._in_thread("pause", job_id, reason, grace)  # type: ignore[no-any-return]

    async def asuspend(self, job_id: str, reason: str = "") -> State:
        """See `suspend`."""
        return await self._in_thread("suspend", job_id, reason)  # type: ignore[no-any-return]

    async def aresume(self, job_id: str, reason: str = "") -> State:
        """See `resume`."""
        return await self._in_thread("resume", job_id, reason)  # type: ignore[no-any-return]

    async def achange_start_time(self, job_id: str, when: Any, reason: str = "") -> State:
        """See `change_start_time`."""
        return await self._in_thread("change_start_time", job_id, when, reason)  # type: ignore[no-any-return]

    async def awatch(
        self, job_id: str | None = None, *, timeout: float | None = None
    ) -> AsyncIterator[tuple[str, Transition]]:
        """See `watch`."""
        steps: Iterator[tuple[str, Transition]] = self.watch(job_id, timeout=timeout)  # type: ignore[attr-defined]
        async for step in _in_threads(steps):
            yield step

    async def _in_thread(self, name: str, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(getattr(self, name), *args, **options)


async def _in_threads(items: Iterator[T]) -> AsyncIterator[T]:
    """The items of a generator that blocks, each fetched in a thread."""
    try:
        while (item := await asyncio.to_thread(next, items, None)) is not None:
            yield item
    finally:
        with suppress(ValueError):  # its thread is inside it: it ends there by itself
            items.close()  # type: ignore[attr-defined]

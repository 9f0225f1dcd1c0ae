"""The same for asyncio: every question as a coroutine, without blocking the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from jobkit.model import Job, LockState, LogLine, Page, Run, Transition
from jobkit.states import State


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

    async def alocks(self) -> tuple[LockState, ...]:
        """See `locks`."""
        return await self._in_thread("locks")  # type: ignore[no-any-return]

    async def asubmit(self, signature: Any, **options: Any) -> Any:
        """See `submit`."""
        return await self._in_thread("submit", signature, **options)

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
        try:
            while (step := await asyncio.to_thread(next, steps, None)) is not None:
                yield step
        finally:
            with suppress(ValueError):  # its thread is inside it: it ends there by itself
                steps.close()  # type: ignore[attr-defined]

    async def _in_thread(self, name: str, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(getattr(self, name), *args, **options)

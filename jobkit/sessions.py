"""A user's session: what is pending when he logs out, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobkit.errors import IllegalTransition, JobUnknown
from jobkit.model import Job
from jobkit.states import State

if TYPE_CHECKING:
    from jobkit.client import Client

_LIVE = tuple(state for state in State if state.is_live)


@dataclass(frozen=True, slots=True)
class Closed:
    """What closing a session did: `cancelled` were told to end, `left` end already or were to go on."""

    cancelled: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class Session:
    """The jobs of one owner, from log-in to log-out [OVM]: ``jobs.session("alice")``.

    Nothing is kept for it: a session that merely expires cancels nothing, its jobs go on.
    """

    def __init__(self, client: Client, owner: str) -> None:
        self._client, self.owner = client, owner

    def pending(self) -> tuple[Job, ...]:
        """What waits or runs, newest first: for the warning before he logs out."""
        return tuple(self._pending())

    def _pending(self) -> Iterator[Job]:
        cursor = None
        while True:
            page = self._client.query(state=_LIVE, owner=self.owner, limit=500, cursor=cursor)
            yield from page.jobs
            cursor = page.cursor
            if cursor is None:
                return

    def close(self, cancel: bool = True, reason: str = "its owner has logged out") -> Closed:
        """He logs out: cancel what waits or runs, with all below it; or with `cancel=False` let it go on.

        Returns: what was told to end, and what was left.
        """
        cancelled: list[str] = []
        left: list[str] = []
        for job in self.pending():
            try:
                if cancel:
                    self._client.abort(job.id, reason)
                (cancelled if cancel else left).append(job.id)
            except (IllegalTransition, JobUnknown):
                left.append(job.id)
        return Closed(tuple(cancelled), tuple(left))

    async def apending(self) -> tuple[Job, ...]:
        """See `pending`."""
        return await asyncio.to_thread(self.pending)

    async def aclose(self, cancel: bool = True, reason: str = "its owner has logged out") -> Closed:
        """See `close`."""
        return await asyncio.to_thread(self.close, cancel, reason)

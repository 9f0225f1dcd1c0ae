"""What application code holds back: hosts that are away, and blocks of any kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from jobkit.errors import InvalidOption
from jobkit.model import Block
from jobkit.store import JobStore, Verdict, blocks
from jobkit.times import milliseconds

Publish = Callable[[Verdict], None]


class Blocks:
    """What is held back: ``jobs.blocks``.

    Parameters: a `store`; `publish`, which sends what may go; `by`, who the history says it was.
    """

    def __init__(self, store: Callable[[], JobStore], publish: Publish, by: Callable[[], str]) -> None:
        self._store, self._publish, self._by = store, publish, by

    def add(
        self, *, reason: str = "", until: datetime | float | None = None, state: str = "blocked", **what: str
    ) -> None:
        """Hold back all jobs of one ``task=``, ``queue=``, ``owner=``, ``definition=`` or ``host=``.

        What waits becomes HOST_BLOCKED, and what is submitted meanwhile; nothing is discarded, and what runs goes on.
        Parameters: a `reason` for people; `until`, an aware datetime or seconds from now, when it lifts itself.
        Raises: `InvalidOption`.
        """
        kind, name = _one(what)
        end = None if until is None else milliseconds("until", until)
        blocks.block(self._store(), kind, name, state, reason, end, self._by())

    def remove(self, **what: str) -> bool:
        """Lift a block: its jobs go on by their queue time, in order.  False where there was none."""
        kind, name = _one(what)
        return lift(self._store(), kind, name, self._by(), self._publish)

    def list(self) -> tuple[Block, ...]:
        """Everything that is held back, by kind and name, with how many jobs wait behind it."""
        return blocks.listing(self._store())

    async def aadd(self, **options: Any) -> None:
        """See `add`."""
        await asyncio.to_thread(self.add, **options)

    async def aremove(self, **what: str) -> bool:
        """See `remove`."""
        return await asyncio.to_thread(self.remove, **what)

    async def alist(self) -> tuple[Block, ...]:
        """See `list`."""
        return await asyncio.to_thread(self.list)


class Hosts:
    """The things jobs work on, which can be away: ``jobs.hosts``.  A host nobody has spoken of is online."""

    def __init__(self, held: Blocks) -> None:
        self._blocks = held

    def offline(self, name: str, reason: str = "", until: datetime | float | None = None) -> None:
        """It cannot be reached: its jobs wait, HOST_BLOCKED, until it is online or `until` is over."""
        self._blocks.add(host=name, reason=reason, until=until, state="offline")

    def dormant(self, name: str, reason: str = "", until: datetime | float | None = None) -> None:
        """It sleeps: nothing is to be done for it now."""
        self._blocks.add(host=name, reason=reason, until=until, state="dormant")

    def online(self, name: str) -> bool:
        """It is back: its jobs are queued, or wait for their start, by their queue time.  False if it was not away."""
        return self._blocks.remove(host=name)

    def state(self, name: str) -> str:
        """``online``, ``offline`` or ``dormant``."""
        return next((one.state for one in self.list() if one.name == name), "online")

    def list(self) -> tuple[Block, ...]:
        """The hosts that are away."""
        return tuple(one for one in self._blocks.list() if one.kind == "host")

    async def aoffline(self, name: str, **options: Any) -> None:
        """See `offline`."""
        await asyncio.to_thread(self.offline, name, **options)

    async def adormant(self, name: str, **options: Any) -> None:
        """See `dormant`."""
        await asyncio.to_thread(self.dormant, name, **options)

    async def aonline(self, name: str) -> bool:
        """See `online`."""
        return await asyncio.to_thread(self.online, name)

    async def alist(self) -> tuple[Block, ...]:
        """See `list`."""
        return await asyncio.to_thread(self.list)


def lift(store: JobStore, kind: str, name: str, by: str, publish: Publish, text: str = "") -> bool:
    """Lift a block and let all jobs behind it go, page by page; False where there is none."""
    verdict = blocks.unblock(store, kind, name, by, text)
    found = verdict is not None
    while verdict is not None:
        publish(verdict)
        # Whoever blocks it again meanwhile stops this.
        verdict = blocks.unblock(store, kind, name, by, blocks.LIFTING) if verdict.run else None
    return found


def _one(what: dict[str, str]) -> tuple[str, str]:
    if len(what) != 1:
        allowed = f"name one of {', '.join(blocks.KINDS)}"
        raise InvalidOption(option="blocks", value=tuple(what), allowed=allowed)
    return next(iter(what.items()))

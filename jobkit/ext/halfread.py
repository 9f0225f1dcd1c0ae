"""What a pool process is in the midst of saying is read on when the broker's connection is lost.

Celery's event loop reads it in steps, forgets that it was at it when it is reset, and takes what is left for the
beginning of another message (celery#1314): then it fails, or waits for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class HalfRead:
    """Stands in for the reader of the pool's result handler: one that was dropped in the midst goes on."""

    def __init__(self, handler: Any) -> None:
        self._begin, self._processes = handler._recv_message, handler.fileno_to_outq
        self._under_way: dict[int, tuple[Any, Iterator[None]]] = {}

    def __call__(self, add_reader: Callable[..., None], fd: int, callback: Callable[..., None]) -> Iterator[None]:
        """Read one message of this process, or the rest of one."""
        process = self._processes.get(fd)
        owner, reading = self._under_way.get(fd, (None, None))
        if reading is None or owner is not process:  # a number is used again for another process
            reading = self._begin(add_reader, fd, callback)
            self._under_way[fd] = process, reading
        return self._read(fd, reading)

    def _read(self, fd: int, reading: Iterator[None]) -> Iterator[None]:
        over = True
        try:
            for _ in reading:
                over = False
                yield
                over = True
        finally:
            if over:
                self._under_way.pop(fd, None)


def keep(worker: Any) -> None:
    """Have the pool of this worker read on; other pools, and other versions of it, are let be."""
    handler: Any = getattr(getattr(worker.pool, "_pool", None), "_result_handler", None)
    if hasattr(handler, "_recv_message") and hasattr(handler, "fileno_to_outq"):
        handler._recv_message = HalfRead(handler)

"""What the processes of a pool say is heard, whatever Celery forgets when the broker's connection is lost.

Its event loop reads it in steps, forgets that it was at it when it is reset, and takes what is left for the beginning
of another message (celery#1314): then it fails, or waits for ever.  It forgets the jobs at work too, and when it goes
down it listens only as long as it knows of any: each process then waits half a minute to be heard.  Of a process that
dies while it sees to another that did, it does not hear that the job was begun, and begins it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from billiard.connection import wait
from billiard.pool import TERMINATE

#: Seconds between two looks at which processes are still there.
LOOK = 0.2


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


def hear_out(handler: Any, finish: Callable[[], object]) -> None:
    """Go down as Celery does, and then listen until every process has ended, or the worker is to end at once."""
    finish()
    processes: dict[int, Any] = handler.fileno_to_outq
    gone: set[int] = set()
    while handler._state != TERMINATE:
        there = [fd for fd, process in tuple(processes.items()) if fd not in gone and process._is_alive()]
        if not there:
            return
        for fd in wait(there, LOOK):
            handler._flush_outqueue(fd, gone.add, processes, handler.on_state_change)


def hear_first(pool: Any, take_back: Callable[[Any, Any], None], job: Any, process: Any) -> None:
    """Take a job back that a dead process has not begun, as Celery does: it may have said that it has."""
    pool.process_flush_queues(process)
    take_back(job, process)


def keep(worker: Any) -> None:
    """Have the pool of this worker do so; other pools, and other versions of it, are let be."""
    pool: Any = getattr(worker.pool, "_pool", None)
    handler: Any = getattr(pool, "_result_handler", None)
    if all(hasattr(handler, name) for name in ("_recv_message", "_flush_outqueue", "fileno_to_outq")):
        handler._recv_message = HalfRead(handler)
        handler.on_stop_not_started = partial(hear_out, handler, handler.on_stop_not_started)
    if all(hasattr(pool, name) for name in ("on_partial_read", "process_flush_queues")):
        pool.on_partial_read = partial(hear_first, pool, pool.on_partial_read)

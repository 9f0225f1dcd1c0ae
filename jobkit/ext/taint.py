"""A body in a thread that nothing can end: its worker takes no more jobs, lets the others end, and goes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from celery.worker import state as worker_state

from jobkit.running import RunningJob

log = logging.getLogger("jobkit")

#: Exit code of a tainted worker: an internal software error, so that whoever looks after it starts another.
EX_SOFTWARE = 70


class Taint:
    """What cannot be ended in this worker.

    Parameters: the Celery `worker`; `goodbye`, which gives its lease back.
    """

    def __init__(self, worker: Any, goodbye: Callable[[], None]) -> None:
        self._worker, self._goodbye = worker, goodbye
        self._lost: set[str] = set()
        self._quiet = False

    def add(self, body: RunningJob) -> None:
        """This one goes on for ever."""
        log.critical(
            "%s[%s] cannot be ended: this worker is tainted, takes no more jobs and goes when its others are done",
            body.task,
            body.id,
        )
        if not self._lost:
            self._worker.consumer.call_soon(_drain, self._worker.consumer)
        self._lost.add(body.id)

    def run_once(self) -> None:
        """Go, once two rounds in a row see nothing else running."""
        if not self._lost:
            return
        others = {request.id for request in tuple(worker_state.active_requests)} - self._lost
        quiet, self._quiet = self._quiet, not others
        if quiet and not others:
            log.critical("this worker is tainted and goes; what it had not begun is run elsewhere")
            self._goodbye()
            os._exit(EX_SOFTWARE)  # a thread that cannot be ended would keep the interpreter from ending


def _drain(consumer: Any) -> None:
    for queue in list(consumer.app.amqp.queues.consume_from):
        consumer.cancel_task_queue(queue)

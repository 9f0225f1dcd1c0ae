"""Messages whose acknowledgement was lost on the way to a broker that emulates them: Celery says so and forgets it.

Each would take one place of the worker's prefetch for ever; with all of them gone it takes no message any more.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

log = logging.getLogger("jobkit")

#: The messages that were to be acknowledged since the last round.
sent: deque[Any] = deque()


class Acknowledgements:
    """Looks after those of one Celery `worker`: what was not acknowledged in a whole round is acknowledged again."""

    def __init__(self, worker: Any) -> None:
        self._worker, self._late = worker, list[Any]()

    def run_once(self) -> int:
        """One round: returns how many were lost."""
        lost = [message for message in self._late if _is_open(message)]
        self._late = [message for message in (sent.popleft() for _ in range(len(sent))) if _is_open(message)]
        for message in lost:
            self._worker.consumer.call_soon(self._look, message)  # in the thread the connection belongs to
        return len(lost)

    def _look(self, message: Any) -> None:
        # What is to be done soon is done in any order: Celery's own acknowledgement may stand behind this, and must
        # find the message open.  In the next turn it has been done.
        if _is_open(message):
            self._worker.consumer.call_soon(self._again, message)

    def _again(self, message: Any) -> None:
        if _is_open(message):
            message.ack_log_error(log, self._worker.consumer.connection_errors)
            sent.append(message)


def _is_open(message: Any) -> bool:
    # A channel that was closed has given back what was not acknowledged.
    return not message.acknowledged and getattr(message.channel, "closed", True) is False

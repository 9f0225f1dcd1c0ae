"""A channel of kombu's Redis transport that takes many messages in one round trip and holds their jobs from then on."""

from __future__ import annotations

import json
import logging
from functools import cached_property
from queue import Empty
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from kombu.transport import redis as theirs
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from jobkit.errors import StoreError
from jobkit.ext import identity, messages
from jobkit.ext.putting import Pushes, Putting
from jobkit.ext.qos import QoS
from jobkit.store import workers
from jobkit.store.scripts import is_lost

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

log = logging.getLogger("jobkit")

#: Messages one call takes at most where a worker has room for any number.
BATCH = 100
#: Seconds between two calls while what a worker has reserved keeps it busy, and there is room for but a few.
PAUSE = 0.05


class Channel(Putting, theirs.Channel):
    """A channel that takes messages as many as there is room for, and gives them to who records a job."""

    QoS = QoS
    # kombu looks them up several times with every turn of the event loop, and its own kind of property is slow.
    client = cached_property(theirs.Channel.client.func)
    subclient = cached_property(theirs.Channel.subclient.func)
    _more, _asked, _load = True, False, False
    _in_poll: Any
    _brpop_sent_at: Any
    _kept: bool | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Ids of jobs whose messages kombu took, one by one, by tag: to be said to be held, and said just now.
        self._popped: dict[str, str] = {}
        self._said: dict[str, str] = {}
        #: Tags of those who acknowledge nothing: while there are any, messages come one by one.
        self._unacknowledged: set[str] = set()
        super().__init__(*args, **kwargs)

    @cached_property
    def _reserves(self) -> bool:
        """Does this channel's process hold jobs, in the Redis its messages come from?"""
        return identity.in_worker() and self.ack_emulation and self.connection.shares_store

    def basic_consume(self, queue: str, no_ack: bool, callback: Any, consumer_tag: str, **kwargs: Any) -> Any:
        """Consume from a queue; where nothing is acknowledged, as kombu does."""
        if no_ack:
            self._unacknowledged.add(consumer_tag)
        return super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)

    def _basic_cancel(self, consumer_tag: str) -> Any:
        # A worker that starts reads the answers of others on this channel, and then no more.
        self._unacknowledged.discard(consumer_tag)
        return super()._basic_cancel(consumer_tag)

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for messages: for all there is room for while there are any, then wait for one, as kombu does."""
        if not self._more or self._unacknowledged or not self._reserves:
            return super()._brpop_start(timeout)
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues or self._can_wait():
            return
        connection = self.client.connection
        self._in_poll, self._asked, self._brpop_sent_at = connection, True, monotonic()
        connection.send_command(*self._reserve(queues))

    def _can_wait(self) -> bool:
        """Is there soon room for more, and meanwhile enough to do?"""
        few = min(self.jobs.spare, self.qos.prefetch_count) // 2
        if few < 2 or self.qos.can_consume_max_estimate() >= few:
            return False
        return monotonic() - (self._brpop_sent_at or 0.0) < PAUSE

    def _reserve(self, queues: list[str]) -> list[Any]:
        # Celery may have put a bound of its own in place of this object's: then one at a time.
        room = 1 if "can_consume" in vars(self.qos) else self.qos.can_consume_max_estimate() or BATCH
        share = -(-room // len(queues)) if self.queue_order_strategy == "round_robin" else room
        prefix = self.global_keyprefix
        keys = [prefix + self._q_for_pri(queue, pri) for pri in self.priority_steps for queue in queues]
        kept_at = (prefix + self.unacked_key, prefix + self.unacked_index_key)
        self._said, self._popped = self._popped, {}
        db = self.connection.store_db
        given = (identity.worker(), room, share, db, *kept_at, time(), len(self._said), *self._said.values(), *keys)
        return self.jobs.store.command("reserve", *given, load=self._load)

    def _hold_popped(self) -> None:
        """What was taken one by one is said with the next call; where there is no room for one it is said now."""
        popped = self._popped.values()
        self.jobs.hasty.run("reserve", identity.worker(), 0, 0, "", "", "", 0, len(popped), *popped)
        self._popped = {}

    def _brpop_read(self, **options: Any) -> bool:
        """Deliver what came."""
        if not self._asked:
            self._more = bool(self._popped)  # what has not begun within a fetch is said with the next
            got = super()._brpop_read(**options)
            # One that came alone begins at once in a process or thread, and its claim says who holds it.
            self._more = got and (self.jobs.inline or self.qos.waiting != 1)
            if self._popped and not self.qos.can_consume():
                try:
                    self._hold_popped()
                except StoreError as exc:
                    log.warning("which jobs this worker holds is said later: %s", exc)
            return bool(got)
        try:
            found = self._answer()
        finally:
            self._in_poll, self._asked = None, False
            self._flush_brpop_reauth()
        self._more = self._load or bool(found)
        self._deliver_all(found)
        if not found:
            raise Empty
        return True

    def _answer(self) -> list[tuple[bytes, bytes, int]]:
        connection = self.client.connection
        try:
            reply = self.client.parse_response(connection, "EVALSHA")
        except self.connection_errors:
            connection.disconnect()
            raise
        except self.ResponseError as exc:
            if not is_lost(exc):
                raise
            self._load, reply = True, []
            self._popped = self._said | self._popped
        else:
            self._load = False
        parts = iter(reply)
        return list(zip(parts, parts, parts, strict=True))

    def _deliver_all(self, found: list[tuple[bytes, bytes, int]]) -> None:
        failed: Exception | None = None
        for key, message, kept in found:
            queue = bytes_to_str(key).removeprefix(self.global_keyprefix).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            self._kept = bool(kept)
            try:
                self.connection._deliver(_decoded(bytes_to_str(message)), queue)
            except Exception as exc:  # the others were taken too, and must not be lost with it
                failed = exc
            finally:
                self._kept = None
        if failed:
            raise failed

    def has_kept(self, message: Any) -> bool | None:
        """Does this worker hold the job of this message?  False: it is kept as kombu keeps it; None: it is not yet."""
        if self._kept is not None or not self._reserves or messages.RUN_HEADER not in (message.headers or {}):
            return self._kept
        self._popped[message.delivery_tag] = str(message.headers["id"])
        return True

    def has_begun(self, delivery_tag: str) -> None:
        """The job of this message need not be said to be held."""
        self._popped.pop(delivery_tag, None)

    def give_back(self, message: Any, leftmost: bool = False) -> bool:
        """Put the message of a recorded job back into its queue; False where Redis does not take it now."""
        job_id, info, pipe = message.headers["id"], message.delivery_info, Pushes(self)
        self._do_restore_message(message._raw, info["exchange"], info["routing_key"], pipe, leftmost)
        try:
            if self._popped:
                self._hold_popped()
            workers.hand_back(self.jobs.hasty, identity.worker(), job_id, pipe.puts)
        except StoreError as exc:
            log.warning("the message of job %s is not back in its queue, it is published again: %s", job_id, exc)
            return False
        return True

    def close(self) -> None:
        """Close it; kombu gives up where the fetch under way finds the connection cut, and its next try is too late."""
        try:
            super().close()
        except self.connection_errors:
            super().close()

    @property
    def jobs(self) -> JobKit:
        """The app's `JobKit`."""
        jobs: JobKit = self.connection.jobs
        return jobs


def _decoded(text: str) -> Any:
    # Values of kombu's own kinds are rare, and to look for them takes longer than all else.
    return loads(text) if "__type__" in text else json.loads(text)


class SentinelChannel(Channel, theirs.SentinelChannel):
    """The same behind Redis Sentinel."""

"""What a channel has delivered: of recorded jobs kombu need not write down what is not acknowledged."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from kombu.transport import redis as theirs
from kombu.transport import virtual


class QoS(theirs.QoS):
    """What was delivered and not acknowledged: of recorded jobs this memory is all that knows of it."""

    channel: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ours: set[str] = set()

    def append(self, message: Any, delivery_tag: str) -> None:
        """A message was delivered."""
        kept = self.channel.has_kept(message)
        if kept is None:
            return super().append(message, delivery_tag)
        if kept:
            self._ours.add(delivery_tag)
        virtual.QoS.append(self, message, delivery_tag)

    @property
    def waiting(self) -> int:
        """How many were delivered and are not acknowledged."""
        return len(self._delivered) - len(self._dirty)

    def ack(self, delivery_tag: str) -> None:
        """It is done with; one whose channel is closed has gone back to its queue with it."""
        if delivery_tag in self._ours:
            self.channel.has_begun(delivery_tag)
            self._ours.discard(delivery_tag)
            virtual.QoS.ack(self, delivery_tag)
        elif not self.channel.closed:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """It is done with, or goes back to the end of its queue."""
        if delivery_tag in self._ours and not requeue:
            self.ack(delivery_tag)
        elif not self.channel.closed:
            super().reject(delivery_tag, requeue=requeue)
            self._ours.discard(delivery_tag)

    def hand_back(self, begun: Container[str]) -> None:
        """Put what is not `begun`, ids of jobs, back into its queue: the oldest at its head."""
        for tag in reversed(tuple(self._delivered)):
            if tag in self._ours and self._delivered[tag].headers["id"] not in begun:
                if not self.channel.give_back(self._delivered[tag]):
                    return
                self.ack(tag)

    def restore_unacked(self, client: Any = None) -> None:
        """All goes back, as the channel is closed."""
        ours = [tag for tag in self._delivered if tag in self._ours]
        answers = True
        for tag in ours:
            answers = answers and self.channel.give_back(self._delivered[tag])
            self.ack(tag)
        self._flush()
        if self._delivered:
            super().restore_unacked(client)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Put it back into its queue."""
        if tag in self._ours:
            self.channel.give_back(self._delivered[tag], leftmost)
        else:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)

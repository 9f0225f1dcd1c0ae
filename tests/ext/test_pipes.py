"""A result that a worker has read in part when it loses its broker is read on, whatever its loop forgets."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.asynpool import ResultHandler

from jobkit.ext.pipes import HalfRead, keep


class Pipe:
    """A pool process's way to say something, and the handler that reads it as Celery's does."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.handler = SimpleNamespace(fileno_to_outq={self.reader: "process"}, handle_event=None)
        self.handler._recv_message = ResultHandler._recv_message.__get__(self.handler)
        self.heard: list[Any] = []

    def say(self, message: Any) -> bytes:
        body = pickle.dumps(message)
        return struct.pack(">i", len(body)) + body

    def read(self, recv: Any) -> bool:
        """What the loop does when there is something to read: True if the message is complete."""
        reading = recv(lambda *args: None, self.reader, self.heard.append)
        return next(reading, "over") == "over"


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.reader)
    os.close(pipe.writer)


@pytest.mark.parametrize("cut", [2, 4, 9])
def test_the_rest_of_a_message_is_not_the_beginning_of_another(pipe: Pipe, cut: int) -> None:
    recv, said = HalfRead(pipe.handler), pipe.say(["first", 1]) + pipe.say(["second", 2])
    os.write(pipe.writer, said[:cut])
    assert not pipe.read(recv)  # and the loop forgets it
    os.write(pipe.writer, said[cut:])
    assert pipe.read(recv)
    assert pipe.read(recv)
    assert pipe.heard == [["first", 1], ["second", 2]]


def test_celery_alone_takes_it_for_another(pipe: Pipe) -> None:
    recv, said = pipe.handler._recv_message, pipe.say(["first", 1]) + pipe.say(["second", 2])
    os.write(pipe.writer, said[:9])
    assert not pipe.read(recv)
    os.write(pipe.writer, said[9:])
    with pytest.raises((EOFError, pickle.UnpicklingError)):  # then it never looks there again, or ends
        pipe.read(recv)
    assert pipe.heard == []


def test_another_process_of_the_same_number_begins_anew(pipe: Pipe) -> None:
    recv, said = HalfRead(pipe.handler), pipe.say(["first", 1])
    os.write(pipe.writer, said[:9])
    assert not pipe.read(recv)
    pipe.handler.fileno_to_outq[pipe.reader] = "another"
    os.write(pipe.writer, said)
    assert pipe.read(recv)
    assert pipe.heard == [["first", 1]]


def test_what_is_kept_is_let_go_when_it_is_over_or_fails(pipe: Pipe) -> None:
    recv = HalfRead(pipe.handler)
    os.write(pipe.writer, struct.pack(">i", 3) + b"bad")
    with pytest.raises(pickle.UnpicklingError):
        pipe.read(recv)
    os.write(pipe.writer, pipe.say(["next"]))
    assert pipe.read(recv)
    assert recv._under_way == {}


@pytest.mark.parametrize("pool", [SimpleNamespace(), SimpleNamespace(_pool=SimpleNamespace(_result_handler=object()))])
def test_other_pools_are_let_be(pool: Any) -> None:
    keep(SimpleNamespace(pool=pool))

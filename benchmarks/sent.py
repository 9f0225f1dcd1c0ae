"""The scripts a real client and a real worker send for one job, word by word."""

from __future__ import annotations

import hashlib
import re
from ast import literal_eval
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.counters import BEGIN, END
from benchmarks.stage import Stage
from jobkit.store.scripts import NAMES, source

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Call:
    """A script as it was sent: its name and its words after EVALSHA, of the job with this id."""

    verb: str
    words: tuple[bytes, ...]
    job_id: bytes

    @property
    def size(self) -> int:
        """Bytes of its words."""
        return sum(map(len, self.words))

    def of(self, job_id: bytes) -> tuple[bytes, ...]:
        """The same for another job."""
        return tuple(word.replace(self.job_id, job_id) for word in self.words)


def recorded(scene: Stage) -> list[Call]:
    """The scripts that were sent for one job, from ``delay()`` to ``get()``, by a real client and a real worker."""
    with scene.worker("solo"), scene.redis.monitor() as monitor:
        scene.client("latency", 3)
        sent = list(_between_marks(monitor.connection.read_response))
    last = max(found for words in sent for word in words for found in _ID.findall(word))
    names = {hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest(): name for name in NAMES}
    ours = [words for words in sent if any(last in word for word in words)]
    return [Call(names[words[1].decode()], words, last) for words in ours if words[1].decode() in names]


def _between_marks(read: Callable[[], Any]) -> Iterator[tuple[bytes, ...]]:
    """The scripts that clients sent in the timed part, each as its words."""
    begun = False
    while END not in (line := str(read())):
        begun = begun or BEGIN in line
        words = tuple(literal_eval(f'b"{word}"') for word in _WORD.findall(line)) if begun else ()
        if words and words[0].lower() == b"evalsha" and " lua] " not in line:
            yield words

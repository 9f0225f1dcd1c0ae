"""A namespace full of jobs in seconds: copies of one that came there by the front door."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.counters import used_memory
from benchmarks.sent import Call
from benchmarks.stage import BenchmarkFailed
from jobkit.ext.ids import uuid7

PAGE = 1_000
MEMORY = 5 * 2**30  #: bytes one Redis may take
PATIENCE = 300.0  #: seconds a crowd may take

#: KEYS: the record that is copied, then the sets its id stands in.  ARGV: its id, first and last number of the copies,
#: and for each set its type and the score.
_COPY = """
local id = ARGV[1]:gsub("%-", "%%-")
local record, ttl = redis.call("HGETALL", KEYS[1]), redis.call("PTTL", KEYS[1])
for n = ARGV[2], ARGV[3] do
  local new, copy = ARGV[1]:sub(1, -13) .. string.format("%012d", n), {}
  for i, word in ipairs(record) do copy[i] = word:gsub(id, new) end
  local key = KEYS[1]:gsub(id, new)
  redis.call("HSET", key, unpack(copy))
  if ttl > 0 then redis.call("PEXPIRE", key, ttl) end
  for i = 2, #KEYS do
    if ARGV[2 * i] == "zset" then redis.call("ZADD", KEYS[i], ARGV[2 * i + 1], new)
    else redis.call("SADD", KEYS[i], new) end
  end
end
"""


def fill(client: Any, base: str, calls: Sequence[Call], count: int, what: str) -> float:
    """Have so many more jobs these calls were made for, and return the bytes each of them takes.

    Raises: `BenchmarkFailed` where that takes too much memory or time.
    """
    template = uuid7()[:-12].encode() + b"f" * 12
    for call in calls:
        client.execute_command(*call.of(template))
    places, copy = list(_places(client, base, template)), client.register_script(_COPY)
    keys = [base.encode() + b"job:" + template, *(key for key, _, _ in places)]
    where = [word for _, kind, score in places for word in (kind, score)]
    copy(keys=keys, args=[template, 0, 0, *where])
    before, deadline = used_memory(client), time.monotonic() + PATIENCE
    for start in range(1, count, PAGE):
        copy(keys=keys, args=[template, start, min(start + PAGE, count) - 1, *where])
        _watch(client, deadline)
        print(f"\r{what}: {start:,} of {count:,}", end="", file=sys.stderr, flush=True)
    print(f"\r{what}: {count:,}{'':12}", file=sys.stderr)
    _counted(client, base, template, count)
    return (used_memory(client) - before) / max(1, count - 1)


def _places(client: Any, base: str, template: bytes) -> Iterator[tuple[bytes, str, float]]:
    """The sets the template stands in."""
    records = f"{base}job:".encode()
    for key in client.scan_iter(f"{base}*", count=10_000):
        kind = "hash" if key.startswith(records) else client.type(key).decode()
        if kind == "zset" and (score := client.zscore(key, template)) is not None:
            yield key, kind, score
        elif kind == "set" and client.sismember(key, template):
            yield key, kind, 0.0


def _counted(client: Any, base: str, template: bytes, count: int) -> None:
    """Copies of an ended job count among those that are held, as theirs does."""
    if client.zscore(f"{base}ended:", template) is not None:
        client.hincrby(f"{base}retention", "jobs", count)
        client.zincrby(f"{base}owners", count, "")


def _watch(client: Any, deadline: float) -> None:
    if (used := used_memory(client)) > MEMORY:
        raise BenchmarkFailed(f"the jobs take {used / 2**30:.1f} GiB: fewer, please")
    if time.monotonic() > deadline:
        raise BenchmarkFailed(f"not so many jobs in {PATIENCE:.0f} s: fewer, please")

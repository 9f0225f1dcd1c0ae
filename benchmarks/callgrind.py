"""The instructions each script of a plain job takes, counted by valgrind: no busy machine changes them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks.sent import Call
from jobkit.embedded import EmbeddedRedis, find_server
from jobkit.ext.ids import uuid7
from jobkit.store.scripts import source

HEAD = f"{'script':44} {'instructions':>12} {'setup':>9} {'bytes':>9}"
PAUSE = 60.0  #: seconds a call may take: it is some fifty times slower
_TOTAL = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)

Counter = Callable[[Callable[[], Any]], int]


def is_there() -> bool:
    """Is valgrind installed?"""
    return bool(shutil.which("valgrind") and shutil.which("callgrind_control"))


def counted(calls: Sequence[Call], jobs: int) -> Iterator[str]:
    """A line for each of these calls, played again for so many jobs (twice: the first time does not count).

    Its setup is what goes by before the script itself begins: taking its words, and making what it is made of.
    """
    with _server() as (client, count):
        every = 0.0
        for _ in range(2):
            ids, lines, every = [uuid7().encode() for _ in range(jobs)], list[str](), 0.0
            for call in calls:
                sha = client.script_load(source(call.verb))
                alone = client.script_load(source(call.verb).partition(f"--[[ {call.verb}:")[0] + "return 1")
                whole = count(partial(_play, client, sha, call, ids)) / jobs
                setup = count(partial(_play, client, alone, call, ids)) / jobs
                lines.append(f"{call.verb:44} {whole:12,.0f} {setup:9,.0f} {call.size:>9,}")
                every += whole
        yield from lines
        yield f"{'together':44} {every:12,.0f}"


def _play(client: Any, sha: str, call: Call, ids: Sequence[bytes]) -> None:
    for job_id in ids:
        client.execute_command("EVALSHA", sha, *call.of(job_id)[2:])


@contextmanager
def _server() -> Iterator[tuple[Any, Counter]]:
    """A Redis under callgrind, and what says how many instructions it takes for something."""
    with tempfile.TemporaryDirectory(prefix="jobkit-callgrind-") as name:
        parts, program = Path(name, "counted"), Path(name, "redis-server")
        words = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={parts}", "--log-file=/dev/null", find_server())
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o700)
        with (
            EmbeddedRedis(program=str(program)) as server,
            Redis.from_url(server.url, socket_timeout=PAUSE) as client,
        ):

            def count(what: Callable[[], Any]) -> int:
                _tell(server.pid, "--zero")
                what()
                _tell(server.pid, "--dump")
                last = max(parts.parent.glob("counted.*"), key=lambda part: int(part.suffix[1:]))
                return int(_TOTAL.findall(last.read_text())[-1])

            yield client, count


def _tell(pid: int, what: str) -> None:
    subprocess.run(["callgrind_control", what, str(pid)], check=True, capture_output=True)

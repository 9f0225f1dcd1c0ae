"""File servers that really run: each presents repositories, one process for each of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TypedDict
from urllib.request import urlopen

import psutil


class ServerError(Exception):
    """A server cannot do what it was told."""


class Presented(TypedDict):
    """Where a repository can be read."""

    server: str
    repository: str
    url: str


#: What each presenting process runs: it says on which port, and serves until it is ended.
_PROGRAM = """
import http.server, sys
from functools import partial
handler = partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def present(server: Path, repository: Path) -> Presented:
    """Start a process that serves the repository, and read from it; what is presented already is left as it is.

    Raises `ServerError` for a server whose directory is not there, or a repository that cannot be read.
    """
    if not server.is_dir():
        raise ServerError(f"server {server} is not there")
    note = _note(server, repository)
    if not _runs(note):
        command = [sys.executable, "-c", _PROGRAM, str(repository)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        # Written before anything can go wrong: what runs can be found, and ended.
        _write(note, {"pid": process.pid, "started": psutil.Process(process.pid).create_time()})
        with process.stdout or sys.stdin.buffer as said:
            port = int(said.readline())
        _write(note, {**json.loads(note.read_text()), "port": port})
    url = f"http://127.0.0.1:{json.loads(note.read_text())['port']}/"
    with urlopen(url, timeout=10) as answer:
        answer.read()
    return Presented(server=str(server), repository=str(repository), url=url)


def withdraw(server: Path, repository: Path) -> bool:
    """End the process that presents the repository there; False if there is none.  It may be called twice."""
    note = _note(server, repository)
    running = _runs(note)
    if running:
        os.kill(json.loads(note.read_text())["pid"], signal.SIGTERM)
    note.unlink(missing_ok=True)
    return running


def _note(server: Path, repository: Path) -> Path:
    return server / f"{repository.name}.json"


def _write(note: Path, facts: dict[str, object]) -> None:
    part = note.with_suffix(".part")
    part.write_text(json.dumps(facts))
    part.replace(note)


def _runs(note: Path) -> bool:
    if not note.exists():
        return False
    facts = json.loads(note.read_text())
    try:
        process = psutil.Process(facts["pid"])
        return bool(process.create_time() == facts["started"] and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False

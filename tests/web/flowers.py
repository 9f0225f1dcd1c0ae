"""A real Flower in a process of its own, and a browser to look at it with."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from jobkit.testing import eventually

ROOT = Path(__file__).parents[2]
APP = "tests.web.shop"
#: What a user might call things to run a script in the page.
HOSTILE = "<script>window.owned=1</script>"
#: Nothing in these tests may reach for the network.
CHROMIUM = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-gpu")


@dataclass(frozen=True)
class Answer:
    """What Flower answered."""

    status: int
    text: str
    headers: Message

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.text)


@dataclass(frozen=True)
class Flower:
    """A running Flower."""

    address: str
    log: Path

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a page; an error status is an answer too."""
        try:
            with urlopen(Request(self.address + path, headers=headers), timeout=20) as answer:
                return Answer(answer.status, answer.read().decode(), answer.headers)
        except HTTPError as error:
            return Answer(error.code, error.read().decode(), error.headers)


@contextmanager
def flower(
    redis_url: str, folder: Path, *arguments: str, app: str = APP, variables: Mapping[str, str] | None = None
) -> Iterator[Flower]:
    """Start ``celery -A app flower`` and wait until it answers; it is ended with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / f"flower-{port}.log"
    command = [sys.executable, "-m", "celery", "-A", app, "flower", f"--port={port}", "--address=127.0.0.1", *arguments]
    env = {**os.environ, "SHOP_REDIS": redis_url, "PYTHONPATH": str(ROOT), **(variables or {})}
    running = Flower(f"http://127.0.0.1:{port}", log)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=output)
    try:
        eventually(lambda: process.poll() is not None or _answers(running), 30, lambda: log.read_text())
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        process.kill()
        process.wait()


def _answers(running: Flower) -> bool:
    try:
        return bool(running.get("/healthcheck").status)
    except URLError:
        return False


def chromium() -> str:
    """The path of Debian's browser; without it the test is skipped, in CI it fails."""
    found = shutil.which("chromium")
    if found is None:
        reason = "no browser: sudo apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return found

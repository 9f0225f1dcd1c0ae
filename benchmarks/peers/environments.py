"""An environment for each queue, made when it is first needed and kept: $XDG_CACHE_HOME/jobkit-benchmarks."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.table import Peer
from benchmarks.stage import BenchmarkFailed

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "jobkit-benchmarks")


def programs(peer: Peer) -> Path:
    """Where the programs of a peer are; its environment is made if there is none with these versions.

    Raises: `BenchmarkFailed` where it cannot be made.
    """
    text = " ".join((f"{sys.version_info.major}.{sys.version_info.minor}", *peer.requirements))
    home = CACHE / f"{peer.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not (home / "complete").exists():
        print(f"making an environment for {peer.name} in {home}", file=sys.stderr, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(home))
        pip = (str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run(*pip, *peer.requirements)
        (home / "complete").touch()
    return home / "bin"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkFailed(f"{' '.join(command)}\n{done.stderr[-2000:]}")

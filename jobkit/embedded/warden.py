"""Ends a private Redis together with its owner: ``python -I -S warden.py OWNER DIRECTORY REMOVE COMMAND...``.

The warden is a child of the owner and the parent of the server.  It asks the kernel who its parent is: that answer
changes the moment the owner dies, however it dies, whatever forks of it live on and before anyone has reaped it.
(Forks of the owner would hold a pipe open, and ``PR_SET_PDEATHSIG`` fires when the *thread* that forked ends.)  It runs
as a file of its own, on the standard library alone: it starts in milliseconds and never imports the application.

Orders are signals: ``SIGTERM`` stops the server, removes the directory and ends; ``SIGUSR1`` starts the server anew.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys

POLL = 0.2  #: seconds between two looks at the owner
GRACE = 0.5  #: seconds a server whose data is thrown away has to stop
GRACE_KEPT = 10.0  #: seconds a server whose directory stays has to write its data


def listen() -> int:
    """Turn signals into bytes on a pipe, one byte each, and return its reading end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return reader


def heard(reader: int) -> bytes:
    """The signals that came since the last call, after at most `POLL` seconds."""
    return os.read(reader, 64) if select.select([reader], [], [], POLL)[0] else b""


def end(server: subprocess.Popen[bytes], grace: float) -> None:
    """Stop the server, by force when it has not stopped after `grace` seconds."""
    server.terminate()
    try:
        server.wait(grace)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def guard(owner: int, directory: str, remove: bool, command: list[str]) -> int:
    """Run the server until the owner dies or says stop; return the exit code of one that refuses to start."""
    orders, grace = listen(), GRACE if remove else GRACE_KEPT
    server = subprocess.Popen(command)
    while os.getppid() == owner:
        if (server.poll() or 0) > 0:
            return int(server.returncode)  # the directory stays: the owner wants to read the log in it
        signals = heard(orders)
        if signal.SIGTERM in signals:
            break
        if signal.SIGUSR1 in signals:
            end(server, grace)
            server = subprocess.Popen(command)
    end(server, grace)
    if remove:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(guard(int(sys.argv[1]), sys.argv[2], sys.argv[3] == "remove", sys.argv[4:]))

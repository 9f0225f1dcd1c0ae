"""The command line over fixed jobs: what it prints for whom, and how it leaves."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ
from typing import Any

import click
import pytest
from celery.bin.celery import celery
from click.testing import CliRunner, Result

from jobkit import IllegalTransition, InvalidOption, JobkitError, State
from jobkit.cli import exits, grid, jobs, text
from jobkit.cli.changing import seconds, time
from jobkit.cli.main import jobkit
from jobkit.cli.reference import reference
from jobkit.model import Progress
from tests.unit import fake_shop as shop

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(jobkit.commands)
JOB_KEYS = """\
id task state run submitted_at state_since owner tags queue args kwargs start_at started_at ended_at expires_at
worker pid retries root_id parent_id after_id locks host blocked_by failed_child failed_compensations outcome
message failure result progress celery_status has_checkpoint source extra
"""


def call(*words: str, app: str = "tests.unit.fake_shop") -> Result:
    """A command as a pipe sees it."""
    return CliRunner().invoke(jobkit, ["-A", app, *words])


def fields(output: str) -> list[list[str]]:
    return [line.split("\t") for line in output.splitlines()]


def on_terminal(*words: str, columns: int = 120, env: dict[str, str] | None = None) -> tuple[int, str]:
    """A command as a person sees it: exit code and everything the terminal got."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, TIOCSWINSZ, pack("HHHH", 40, columns, 0, 0))
    command = [sys.executable, "-m", "jobkit.cli.main", "-A", "tests.unit.fake_shop", *words]
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment = {**inherited, "TERM": "xterm-256color", **(env or {})}
    child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment)
    os.close(slave)
    seen = bytearray()
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # how Linux says that the other side has closed
            break
        if not part:
            break
        seen += part
    os.close(master)
    return child.wait(), seen.decode().replace("\r\n", "\n")


def plain(seen: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)


# -- every command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_has_help(name: str) -> None:
    result = call(name, "--help")
    assert result.exit_code == 0
    command = jobkit.commands[name]
    assert command.help
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help


def test_both_groups_have_the_same_commands() -> None:
    assert {*jobs.commands, "demo"} == {*jobkit.commands}


def test_the_reference_is_up_to_date() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == reference(), "make docs"


def test_the_reference_has_every_command_and_every_exit_code() -> None:
    for name in COMMANDS:
        assert f"\n## {name}\n" in reference()
    for code in exits.MEANINGS:
        assert f"| {code} |" in reference()


def test_it_joins_celery() -> None:
    celery.add_command(jobs)
    result = CliRunner().invoke(celery, ["-A", "tests.unit.fake_shop", "jobs", "show", "nonesuch"])
    assert result.exit_code == exits.UNKNOWN
    assert "celery -A tests.unit.fake_shop jobs list" in result.stderr


def test_a_mistyped_command_is_guessed() -> None:
    result = call("lst")
    assert result.exit_code == exits.USAGE
    assert re.search(r"Did you mean.*\n\s+list", result.stderr)


def test_rich_is_imported_by_no_command_before_it_draws() -> None:
    code = "import sys, jobkit.cli.main; print(*(m for m in ('rich', 'jobkit.demo') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# -- which app -------------------------------------------------------------------------------------------------------


def test_without_an_app_it_says_how_to_name_one() -> None:
    # In a process of its own: here another test may have made an app, and Celery takes the last one for the current.
    env = {**os.environ, "CELERY_APP": "", "JOBKIT_APP": ""}
    command = [sys.executable, "-m", "jobkit.cli.main", "list"]
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == exits.USAGE
    assert "-A MODULE" in result.stderr


def test_the_app_may_come_from_the_environment() -> None:
    result = CliRunner().invoke(jobkit, ["list"], env={"CELERY_APP": "tests.unit.fake_shop"})
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("app", "says"),
    [
        ("tests.unit.fake_shop:plain", "jobs = JobKit(app)"),
        ("tests.no_such_module", "tests.no_such_module"),
        ("json", "cannot load"),
    ],
)
def test_an_app_that_will_not_do_is_named(app: str, says: str) -> None:
    result = call("list", app=app)
    assert result.exit_code == exits.USAGE
    assert says in result.stderr


# -- list ------------------------------------------------------------------------------------------------------------


def test_list_to_a_pipe_is_tab_separated_and_has_no_head() -> None:
    result = call("list")
    assert result.exit_code == 0
    assert result.stderr == ""
    rows = fields(result.stdout)
    assert [row[0] for row in rows] == [job.state.value for job in shop.JOBS]
    assert [row[1] for row in rows] == [job.id for job in shop.JOBS]
    assert {len(row) for row in rows} == {8}
    assert rows[0][6] == "1032/1690"
    assert rows[1][7] == "ConnectionError: db1 is\\x1b[31m down"
    assert rows[3][7] == f"after {shop.RUNNING[-8:]}"


def test_list_json_is_one_array_with_the_keys_of_a_job() -> None:
    found = json.loads(call("list", "--json").stdout)
    assert [job["id"] for job in found] == [job.id for job in shop.JOBS]
    assert [*found[0]] == JOB_KEYS.split()
    assert found[0]["submitted_at"] == "2026-11-22T08:00:00.000Z"
    assert json.loads(call("list", "--state", "KILLED", "--json").stdout) == []


def test_list_asks_for_no_more_than_its_limit_and_pages_through_all() -> None:
    assert len(fields(call("list", "--limit", "3").stdout)) == 3
    assert len(fields(call("list", "--all").stdout)) == len(shop.JOBS)


def test_list_passes_its_filters_on() -> None:
    shop.jobs.asked.clear()
    call("list", "--state", "error", "--state", "KILLED", "--task", "shop.import", "--owner", "bob", "--tag", "eu")
    _, _, given = shop.jobs.asked[0]
    assert given == {"state": ("ERROR", "KILLED"), "task": "shop.import", "owner": "bob", "tag": "eu"}


def test_list_on_a_terminal_is_a_table_in_colours() -> None:
    code, seen = on_terminal("list")
    assert code == 0
    head, *rows = plain(seen).splitlines()
    assert head.split() == ["STATE", "ID", "TASK", "RUN", "OWNER", "FOR", "DONE", "MESSAGE"]
    assert "\x1b[31mERROR" in seen
    assert "\x1b[31m down" not in seen, "what a job says must not steer the terminal"
    assert rows[0].split()[:3] == ["RUNNING", shop.RUNNING[-8:], "shop.import"]
    assert "61%" in rows[0]
    assert re.search("starts in (3 h|2 h 59 min)", plain(seen))
    assert "5 of 5 jobs" in plain(seen)


@pytest.mark.parametrize(("words", "env"), [(("--no-color",), {}), ((), {"NO_COLOR": "1"})])
def test_colours_can_be_switched_off(words: tuple[str, ...], env: dict[str, str]) -> None:
    _, seen = on_terminal("list", *words, env=env)
    assert "\x1b[3" not in seen
    assert "ERROR" in seen


def test_a_narrow_terminal_cuts_text_but_no_id() -> None:
    _, seen = on_terminal("list", columns=72)
    rows = [line for line in plain(seen).splitlines() if "shop" in line]
    assert all(len(row) <= 72 for row in rows)
    assert all(any(job.id[-8:] in row for row in rows) for job in shop.JOBS)


# -- one job ---------------------------------------------------------------------------------------------------------


def test_show_to_a_pipe_is_a_name_and_a_value_a_line() -> None:
    result = call("show", shop.BROKEN)
    shown = dict(fields(result.stdout))
    assert shown["state"] == "ERROR"
    assert shown["failure"] == "ConnectionError: db1 is\\x1b[31m down"
    assert shown["submitted"] == "2026-11-22T08:00:00.000Z"
    assert f"history {shop.BROKEN}" in result.stderr


def test_show_json_is_the_job_and_its_last_log_lines() -> None:
    shown = json.loads(call("show", shop.BROKEN, "-j").stdout)
    assert [*shown] == [*JOB_KEYS.split(), "log", "reason"]
    assert shown["failure"]["type"] == "ConnectionError"
    assert shown["log"] == [{"at": "2026-11-22T08:00:02.000Z", "level": "ERROR", "message": "no \x1b[2Jhost", "run": 1}]


def test_show_on_a_terminal_has_the_traceback_the_log_and_what_to_do_next() -> None:
    _, seen = on_terminal("show", shop.BROKEN)
    assert "\n    Traceback (most recent call last):\n      g()\n" in plain(seen)
    assert "no \\x1b[2Jhost" in seen
    assert f"jobs history {shop.BROKEN}" in seen or f"history {shop.BROKEN}" in seen


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (shop.RUNNING, "abort"),
        (shop.WAITING, "--in 0"),
        (shop.AFTER, f"show {shop.RUNNING}"),
        (shop.DONE, "history"),
    ],
)
def test_show_says_what_to_do_next(job: str, says: str) -> None:
    assert says in call("show", job).stderr


def test_history_has_every_transition_of_every_run() -> None:
    rows = fields(call("history", shop.BROKEN).stdout)
    assert [row[3] for row in rows] == [step.target.value for step in shop.PATH]
    assert rows[0] == ["1", "2026-11-22T08:00:01.000Z", "", "QUEUED", "1.000", "w1@host", ""]
    assert rows[2][6] == "ConnectionError: db1 is\\x1b[31m down"
    assert rows[3][4] == "", "where a run has come to there is no duration"


def test_history_json_has_runs() -> None:
    found = json.loads(call("history", shop.BROKEN, "--json").stdout)
    assert [*found] == ["id", "runs"]
    assert [(run["number"], run["state"]) for run in found["runs"]] == [(1, "ERROR_RETRY"), (2, "ERROR")]
    assert [*found["runs"][0]["path"][0]] == ["seq", "run", "source", "target", "at", "by", "reason", "seconds"]


def test_log_says_when_there_is_none() -> None:
    assert fields(call("log", shop.BROKEN).stdout) == [["2026-11-22T08:00:02.000Z", "1", "ERROR", "no \\x1b[2Jhost"]]
    nothing = call("log", shop.DONE)
    assert (nothing.stdout, nothing.exit_code) == ("", 0)
    assert "self.job.log" in nothing.stderr


# -- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [shop.DONE, shop.DONE[:6], shop.DONE[-6:], shop.DONE[-12:]])
def test_the_beginning_or_the_end_of_an_id_will_do(part: str) -> None:
    assert dict(fields(call("show", part).stdout))["id"] == shop.DONE


def test_five_characters_will_not_do() -> None:
    assert call("show", shop.DONE[:5]).exit_code == exits.UNKNOWN


def test_an_ambiguous_part_names_the_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [shop.job(f"nightly-{n}", State.QUEUED) for n in (1, 2)]
    monkeypatch.setattr(shop, "JOBS", twins)
    result = call("show", "nightly")
    assert result.exit_code == exits.USAGE
    assert all(twin.id in result.stderr for twin in twins)


# -- exit codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["list"], exits.OK),
        (["watch", shop.DONE], exits.OK),
        (["watch", shop.BROKEN], exits.BAD_END),
        (["show"], exits.USAGE),
        (["list", "--state", "NONESUCH"], exits.USAGE),
        (["reschedule", shop.WAITING], exits.USAGE),
        (["reschedule", shop.WAITING, "--in", "1", "--at", "2026-12-01"], exits.USAGE),
        (["show", "nonesuch"], exits.UNKNOWN),
        (["show", shop.GONE], exits.EXPIRED),
        (["abort", shop.DONE], exits.CONFLICT),
        (["show", shop.DOWN], exits.UNAVAILABLE),
        (["watch", shop.WAITING, "--timeout", "1"], exits.TIMEOUT),
        (["watch", "--timeout", "1"], exits.TIMEOUT),
        (["watch", shop.RUNNING], exits.INTERRUPTED),
    ],
)
def test_exit_codes(words: list[str], code: int) -> None:
    result = call(*words)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("kind", JobkitError.__subclasses__())
def test_every_error_has_an_exit_code(kind: type[JobkitError]) -> None:
    assert issubclass(kind, exits.KNOWN)


def test_an_error_says_what_to_do_next() -> None:
    error = IllegalTransition(job="j1", source="FINISHED", target="REMOVING")
    assert exits.explain(error, "celery -A shop jobs") == (
        exits.CONFLICT,
        "job j1 cannot go from FINISHED to REMOVING",
        "What it did so far: celery -A shop jobs history j1",
    )
    assert exits.explain(InvalidOption(option="a", value=1, allowed="2"), "x")[0] == exits.USAGE


# -- watch -----------------------------------------------------------------------------------------------------------


def test_watch_to_a_pipe_prints_one_line_a_change() -> None:
    rows = fields(call("watch", shop.BROKEN).stdout)
    assert [row[4] for row in rows] == [step.target.value for step in shop.PATH]
    assert rows[0][:3] == ["2026-11-22T08:00:01.000Z", shop.BROKEN, "1"]


def test_watch_json_prints_one_object_a_line() -> None:
    steps = [json.loads(line) for line in call("watch", shop.BROKEN, "--json").stdout.splitlines()]
    assert [step["target"] for step in steps] == [step.target.value for step in shop.PATH]
    assert [*steps[0]] == ["id", "seq", "run", "source", "target", "at", "by", "reason"]


def test_watch_on_a_terminal_draws_the_path_of_each_run() -> None:
    code, seen = on_terminal("watch", shop.BROKEN)
    assert code == exits.BAD_END
    assert "run 1  QUEUED 1.0 s → RUNNING 1.0 s → ERROR 1.0 s → ERROR_RETRY" in plain(seen)
    assert "run 2  QUEUED 1.0 s → RUNNING 1.0 s → ERROR" in plain(seen)


def test_watch_of_all_jobs_on_a_terminal_is_a_line_a_change() -> None:
    code, seen = on_terminal("watch")
    assert code in (exits.OK, exits.BAD_END)
    assert re.search(rf"{shop.BROKEN[-8:]}  run 1  QUEUED → RUNNING  w1@host", plain(seen))


def test_without_rich_a_terminal_still_gets_lines(tmp_path: Path) -> None:
    (tmp_path / "rich.py").write_text("raise ImportError('not installed')")
    code, seen = on_terminal("watch", shop.BROKEN, env={"PYTHONPATH": str(tmp_path)})
    assert code == exits.BAD_END
    assert "QUEUED → RUNNING" in plain(seen)


# -- changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["abort", shop.WAITING, "--reason", "wrong"], ("abort", shop.WAITING, "wrong", None)),
        (["abort", shop.WAITING, "--grace", "5s"], ("abort", shop.WAITING, "", 5.0)),
        (["pause", shop.WAITING], ("pause", shop.WAITING, "")),
        (["suspend", shop.WAITING], ("suspend", shop.WAITING)),
        (["resume", shop.WAITING], ("resume", shop.WAITING)),
        (["reschedule", shop.WAITING, "--in", "1h30m"], ("change_start_time", shop.WAITING, 5400.0)),
    ],
)
def test_a_change_is_asked_for_and_shown(words: list[str], asked: tuple[Any, ...]) -> None:
    shop.jobs.asked.clear()
    result = call(*words)
    assert asked in shop.jobs.asked
    assert fields(result.stdout)[0][:2] == [shop.WAITING, "WAITING_FOR_START"]
    assert json.loads(call(*words, "--json").stdout)[0]["id"] == shop.WAITING


def test_abort_tries_every_id_and_leaves_with_the_first_failure() -> None:
    result = call("abort", shop.WAITING, shop.DONE, "nonesuch", shop.RUNNING)
    assert result.exit_code == exits.CONFLICT
    assert [row[0] for row in fields(result.stdout)] == [shop.WAITING, shop.RUNNING]
    assert "nonesuch" in result.stderr


# -- words and numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [("0", 0), ("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("1.5h", 5400)],
)
def test_lengths_of_time(given: str, expected: float) -> None:
    assert seconds(given) == expected


@pytest.mark.parametrize("given", ["", "-1", "x", "1x", "1 h", "h1"])
def test_no_lengths_of_time(given: str) -> None:
    with pytest.raises(click.BadParameter, match="5m"):
        seconds(given)


def test_times() -> None:
    assert time("2026-11-22T18:30:00Z") == datetime(2026, 11, 22, 18, 30, tzinfo=timezone.utc)
    assert time("2026-11-22T18:30").tzinfo is not None
    with pytest.raises(click.BadParameter, match="2026"):
        time("tomorrow")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0 s"),
        (0.034, "0.03 s"),
        (4.14, "4.1 s"),
        (59.7, "1 min"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (3.5e5, "4 d 1 h"),
    ],
)
def test_durations(value: float, expected: str) -> None:
    assert text.duration(value) == expected


def test_amounts() -> None:
    assert text.amount(Progress(1032, 1690)) == "1,032/1,690"
    assert text.amount(Progress(0.5)) == "0.5"


def test_wide_characters_count_twice() -> None:
    lines = list(grid.layout(["A", "B"], [["日本", "x"], ["ab", "y"]], columns=40, wrap=False))
    assert [line[0] for line in lines] == ["A   ", "日本", "ab  "]


def test_states_shows_every_state() -> None:
    rows = fields(call("states").stdout)
    assert [row[0] for row in rows] == [state.value for state in State]
    assert call("states", "--mermaid").stdout.startswith("stateDiagram-v2\n")
    found = json.loads(call("states", "--json").stdout)
    assert [*found[0]] == ["state", "category", "meaning", "next"]
    assert "QUEUED" in found[0]["next"]

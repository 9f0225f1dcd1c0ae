"""The judge sees every kind of wrong: each case differs from a clean one by one thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from jobkit.model import Transition
from jobkit.states import State
from tests.chaos.evidence import ACCEPTED, CUT_OFF, END, FROZEN, GONE, HOOK, SAVED, START, THAWED, Line
from tests.chaos.oracle import RULES, Case, Record, judge

S = State
EPOCH = datetime(2030, 1, 1, tzinfo=timezone.utc)

#: One job: killed in its first run, done in its second one.
STEPS = (
    (1, S.QUEUED, 0.0, "client"),
    (1, S.RUNNING, 1.0, "w0"),
    (1, S.ABORTED, 4.0, "w1"),
    (1, S.ABORTED_RESTART, 4.0, "w1"),
    (2, S.QUEUED, 4.0, "w1"),
    (2, S.RUNNING, 5.0, "w1"),
    (2, S.FINISHED, 6.0, "w1"),
)
LINES = (
    Line(ACCEPTED, 0.0, "j"),
    Line(START, 1.0, "j", 1, "w0", 10),
    Line(SAVED, 1.5, "j", 1, "w0", 10, {"since": 1.4, "value": 1}),
    Line(GONE, 2.0, worker="w0"),
    Line(HOOK, 4.1, "j", 1, "w1", 20, {"state": "ABORTED_RESTART"}),
    Line(START, 5.0, "j", 2, "w1", 20),
    Line(END, 5.9, "j", 2, "w1", 20, {"how": "returned"}),
    Line(HOOK, 6.1, "j", 2, "w1", 20, {"state": "FINISHED"}),
)


def path(*steps: tuple[int, State, float, str]) -> tuple[Transition, ...]:
    """Steps as a path."""
    return tuple(
        Transition(number, run, None, target, EPOCH + timedelta(seconds=at), by)
        for number, (run, target, at, by) in enumerate(steps, 1)
    )


def case(lines: tuple[Line, ...] = LINES, steps: tuple[tuple[int, State, float, str], ...] = STEPS) -> Case:
    """A case of one job."""
    result = 2 if steps[-1][1] is S.FINISHED else None
    return Case(lines, {"j": Record("j", path(*steps), result)}, {"outbox": 0}, EPOCH.timestamp())


def without(number: int) -> tuple[Line, ...]:
    return LINES[:number] + LINES[number + 1 :]


def with_record(**changes: object) -> Case:
    found = case()
    found.records = {"j": replace(found.records["j"], **changes)}  # type: ignore[arg-type]
    return found


def lost() -> Case:
    found = case((LINES[0],))
    found.records = {}
    return found


def left_over() -> Case:
    found = case()
    found.leftovers = {"held:w0": 1}
    return found


def frozen(thaw: float, end: float) -> Case:
    """Its first worker was not killed but frozen, and its body went on until `end`."""
    rest = (Line(FROZEN, 2.0, worker="w0"), Line(THAWED, thaw, worker="w0"), Line(END, end, "j", 1, "w0", 10))
    return case(without(3) + rest)


def gap() -> Case:
    steps = list(path(*STEPS))
    steps[3] = replace(steps[3], seq=9)
    return with_record(path=tuple(steps))


WRONG: dict[str, tuple[Callable[[], Case], set[str]]] = {
    "a record is missing": (lost, {"nothing_is_lost"}),
    "nobody submitted it": (lambda: case(without(0)), {"nothing_is_unexpected"}),
    "it still runs": (lambda: case(LINES[:-1], STEPS[:-1]), {"every_job_ends"}),
    "a run was left restarted": (lambda: case(LINES[:5], STEPS[:4]), {"every_job_ends"}),
    "an edge the graph does not have": (
        lambda: case((*LINES[:5], Line(HOOK, 6.1, "j", 2, more={"state": "FINISHED"})), STEPS[:5] + STEPS[6:]),
        {"every_path_is_legal"},
    ),
    "born in the middle": (lambda: case((LINES[0], *LINES[4:]), STEPS[3:]), {"every_path_is_legal"}),
    "a gap in the path": (gap, {"every_path_is_legal"}),
    "time that runs backwards": (
        lambda: case(steps=(*STEPS[:-1], (2, S.FINISHED, 4.5, "w1"))),
        {"every_path_is_legal"},
    ),
    "nobody did it": (lambda: case(steps=(*STEPS[:-1], (2, S.FINISHED, 6.0, ""))), {"every_path_is_legal"}),
    "two ends of one run": (
        lambda: case(steps=(*STEPS, (2, S.ABORTED, 6.0, "w1"))),
        {"every_run_ends_once", "every_path_is_legal", "hooks_are_called_once"},
    ),
    "another run after the end": (
        lambda: case(steps=(*STEPS[:3], *STEPS[4:])),
        {"every_run_ends_once", "hooks_are_called_once"},
    ),
    "a run started twice": (
        lambda: case((*LINES, Line(START, 5.95, "j", 2, "w1", 21), Line(END, 5.96, "j", 2, "w1", 21))),
        {"every_run_starts_once"},
    ),
    "executed by who had not claimed it": (
        lambda: case(steps=(*STEPS[:5], (2, S.RUNNING, 5.0, "w7"), STEPS[6])),
        {"every_run_starts_once"},
    ),
    "a hook too few": (lambda: case(without(4)), {"hooks_are_called_once"}),
    "a hook twice": (lambda: case((*LINES, LINES[-1])), {"hooks_are_called_once"}),
    "a hook that heard of another end": (
        lambda: case((*LINES[:-1], replace(LINES[-1], more={"state": "ERROR"}))),
        {"hooks_are_called_once"},
    ),
    "a hook before the end": (
        lambda: case((*LINES[:-1], replace(LINES[-1], at=5.8))),
        {"hooks_are_called_once"},
    ),
    "a hook of a run there never was": (
        lambda: case((*LINES, replace(LINES[-1], run=3))),
        {"hooks_are_called_once"},
    ),
    "two bodies at once": (lambda: case((*without(3), Line(END, 5.5, "j", 1, "w0", 10))), {"bodies_do_not_overlap"}),
    "a write of an old run": (
        lambda: case((*LINES, Line(SAVED, 5.6, "j", 1, "w0", 10, {"since": 5.5}))),
        {"no_write_of_an_old_run_is_accepted"},
    ),
    "the result of an old run": (lambda: with_record(result=1), {"no_write_of_an_old_run_is_accepted"}),
    "more restarts than allowed": (lambda: with_record(restarts=0), {"budgets_are_kept"}),
    "something left over": (left_over, {"nothing_is_left_over"}),
}


def test_a_clean_case_has_no_findings() -> None:
    assert judge(case()) == []


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name: str) -> None:
    make, rules = WRONG[name]
    assert {finding.rule for finding in judge(make())} == rules


def test_after_a_freeze_a_body_may_go_on_for_a_moment() -> None:
    assert judge(frozen(thaw=5.2, end=5.8)) == []  # awake beside the next one for 0.6 s
    long = replace(LINES[6], at=8.0)
    found = frozen(thaw=5.2, end=7.0)
    found.lines = [long if line is LINES[6] else line for line in found.lines]
    assert {finding.rule for finding in judge(found)} == {"bodies_do_not_overlap"}


def test_who_claimed_the_telling_may_die() -> None:
    assert judge(case((*LINES[:-1], Line(CUT_OFF, 6.2, "j", 2)))) == []
    found = judge(case((*LINES, LINES[-1], Line(CUT_OFF, 6.2, "j", 2))))
    assert [finding.rule for finding in found] == ["hooks_are_called_once"]


def test_no_rule_is_without_a_case() -> None:
    assert {rule.__name__ for rule in RULES} == {name for _, names in WRONG.values() for name in names}

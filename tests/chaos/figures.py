"""What a run comes to, in Jepsen's words, beside the goals of RELIABILITY 3."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from jobkit.states import State
from tests.chaos.evidence import ACCEPTED, FROZEN, GONE, HOOK, INDETERMINATE, REFUSED, START, STORE_DOWN, STORE_UP, TOLD
from tests.chaos.oracle import Case, Finding, overlaps, was_cut_off

Row = tuple[str, str, str]


def percentile(values: Iterable[float], part: float) -> float:
    """The smallest value that is not below this part of them; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else math.nan


def spread(values: Sequence[float], scale: float = 1.0, unit: str = "s") -> str:
    """Median, 99th percentile and maximum."""
    if not values:
        return "none seen"
    p50, p99, most = (scale * value for value in (percentile(values, 0.5), percentile(values, 0.99), max(values)))
    return f"p50 {p50:.2f}  p99 {p99:.2f}  max {most:.2f} {unit}  (n={len(values)})"


def rescues(case: Case) -> list[float]:
    """Of each run that died with its worker: seconds until the next run of its job began."""
    return [seconds for what, seconds in _next_starts(case) if what == GONE]


def declared(case: Case) -> list[float]:
    """Of each run that died with its worker: seconds until it was declared so, and queued again."""
    lost = {(b.job, b.run): b.ended for bodies in case.bodies.values() for b in bodies if b.how == ""}
    ends = {(job, run.number): run.path[-1] for job, record in case.records.items() for run in record.runs}
    return [
        ends[key].at.timestamp() - case.offset - at
        for key, at in lost.items()
        if key in ends and ends[key].target is State.ABORTED_RESTART
    ]


def handovers(case: Case) -> list[float]:
    """Of each run whose worker was told to end, and that handed over: seconds until the next one began."""
    return [seconds for what, seconds in _next_starts(case) if what == TOLD]


def back(case: Case) -> list[float]:
    """Of each worker that lived when Redis came back: seconds until it began a body again."""
    found = []
    for up in case.of(STORE_UP):
        began = [line for line in case.of(START) if line.at > up.at]
        before = {line.worker for line in case.of(START) if line.at < up.at}
        gone = {line.worker: line.at for line in case.of(GONE)}
        for worker in before:
            first = next((line.at for line in began if line.worker == worker), None)
            if first is not None and gone.get(worker, first) >= first:
                found.append(first - up.at)
    return found


def _next_starts(case: Case) -> Iterator[tuple[str, float]]:
    ends = {(job, run.number): run.state for job, record in case.records.items() for run in record.runs}
    told = {line.worker: line.at for line in case.of(TOLD)}
    for job, bodies in case.bodies.items():
        for body in bodies:
            following = next((later for later in bodies if later.run > body.run), None)
            if following is None:
                continue
            if body.how == "":
                yield GONE, following.began - body.ended
            elif ends.get((job, body.run)) is State.SHUTDOWN_RESTART and body.worker in told:
                yield TOLD, following.began - max(told[body.worker], body.began)


def table(case: Case, findings: Sequence[Finding], lease: float, more: Sequence[Row] = ()) -> list[Row]:
    """The figures, each beside its goal."""
    records = case.records.values()
    accepted, hooks = case.of(ACCEPTED), len(case.of(HOOK))
    states = [run.state for record in records for run in record.runs]
    hooked = sum(not state.is_live and state is not State.REPLACED for state in states)
    by_rule = {rule: sum(finding.rule == rule for finding in findings) for rule in {f.rule for f in findings}}
    late = percentile(declared(case), 0.99)
    recovered = sum(any(run.state is State.ABORTED_RESTART for run in r.runs) and not r.state.is_live for r in records)
    met = [(seconds, frozen) for job in case.bodies for _, seconds, frozen in overlaps(case, job)]
    return [
        ("accepted", str(len(accepted)), ""),
        ("indeterminate", str(len(case.of(INDETERMINATE))), ""),
        ("finished", str(sum(record.state is State.FINISHED for record in records)), ""),
        ("recovered", str(recovered), ""),
        ("lost", str(by_rule.get("nothing_is_lost", 0) + by_rule.get("every_job_ends", 0)), "0"),
        ("unexpected", str(by_rule.get("nothing_is_unexpected", 0)), "0"),
        ("double starts, double ends", str(_sum(by_rule, "every_run_starts_once", "every_run_ends_once")), "0"),
        ("hooks / ended runs", f"{hooks} / {hooked}", "equal"),
        ("hooks cut off by a death", str(_cut_off(case)), ""),
        ("overlap, not frozen", f"{1000 * max((s for s, frozen in met if not frozen), default=0):.0f} ms", "0 ms"),
        ("overlap after a freeze", f"{1000 * max((s for s, frozen in met if frozen), default=0):.0f} ms", "<= 1000 ms"),
        ("stale writes refused", str(len(case.of(REFUSED))), ""),
        ("stale writes accepted", str(by_rule.get("no_write_of_an_old_run_is_accepted", 0)), "0"),
        ("kill to queued again", spread(declared(case)), f"p99 <= {lease + 3:g} s"),
        ("kill to the next start, through further faults", spread(rescues(case)), ""),
        ("told to end to the next start", spread(handovers(case)), "p99 <= 3 s"),
        ("Redis back to the next start, by worker", spread(back(case)), "max <= 10 s"),
        ("runs", str(len(states)), ""),
        ("workers gone, frozen, told", " ".join(str(len(case.of(what))) for what in (GONE, FROZEN, TOLD)), ""),
        ("Redis killed", str(len(case.of(STORE_DOWN))), ""),
        *more,
        ("findings", str(len(findings)), "0"),
        ("rescued in time", "no" if late > lease + 3 else "yes", "yes"),
    ]


def _cut_off(case: Case) -> int:
    told = {(line.job, line.run) for line in case.of(HOOK)}
    runs = ((record, run) for record in case.records.values() for run in record.runs)
    return sum((record.job, run.number) not in told and was_cut_off(case, record, run) for record, run in runs)


def _sum(numbers: dict[str, int], *names: str) -> int:
    return sum(numbers.get(name, 0) for name in names)


def text(rows: Sequence[Row]) -> str:
    """The table, for a terminal."""
    name, value = (max(len(row[column]) for row in rows) for column in range(2))
    return "\n".join(f"{row[0]:<{name}}  {row[1]:<{value}}  {row[2] and 'goal ' + row[2]}".rstrip() for row in rows)

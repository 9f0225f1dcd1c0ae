"""Triggers that come by the thousand, and triggers that are lost; what came of them.

As a program, with the figures: ``python -m tests.acceptance.triggers wishes --rounds 200``, ``… lost --seconds 90``.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

from jobkit.embedded import EmbeddedRedis
from jobkit.states import State
from jobkit.testing import eventually
from tests.acceptance.apps import ROOT
from tests.acceptance.beat_stage import BEAT, WORKER, Stage, stage

TASKS = "tests.acceptance.beats_app"
#: A client of its own: whenever it is told to, it asks so often, and says what it was answered.
CLIENT = """
import json
from tests.acceptance.beats_app import book, jobs
jobs.definitions.get("held")
book.rpush("ready", 1)
while calls := int(book.blpop(["start"])[1]):
    answers = [jobs.definitions.queue_now("held")[0].verdict.value for _ in range(calls)]
    book.rpush("answers", json.dumps(answers))
jobs.close()
book.close()
"""


class Clients:
    """Processes that ask at once."""

    def __init__(self, stage: Stage, count: int) -> None:
        self.book, environment = stage.m.book, {**stage.environment, "PATH": "", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", CLIENT]
        self.started = [subprocess.Popen(command, cwd=ROOT, env=environment) for _ in range(count)]
        for _ in self.started:
            assert self.book.blpop(["ready"], timeout=60)

    def ask(self, calls: int) -> list[str]:
        """So many calls, shared among them; returns all answers."""
        self.book.rpush("start", *(len(self.started) * [calls // len(self.started)]))
        answers = [json.loads(self.book.blpop(["answers"], timeout=120)[1]) for _ in self.started]
        return [verdict for some in answers for verdict in some]

    def stop(self) -> None:
        """End them."""
        self.book.rpush("start", *(len(self.started) * [0]))
        assert [client.wait(30) for client in self.started] == len(self.started) * [0]


def wishes(stage: Stage, rounds: int, clients: int, calls: int, kill_every: int) -> str:
    """Queued `calls` times while it runs, and its worker killed then in some rounds: one further run, the newest data.

    Returns: the figures.
    """
    m, definitions = stage.m, stage.m.jobs.definitions
    definitions.create("held", task=f"{TASKS}.hold", data={"n": 0})
    worker = stage.start(*WORKER)
    worker.process.wait_ready()
    asking, took, killed = Clients(stage, clients), [], 0
    for n in range(1, 2 * rounds, 2):
        kills = kill_every and n // 2 % kill_every == kill_every - 1
        definitions.change("held", lambda one, n=n: replace(one, data={"n": n}))
        definitions.queue_now("held")
        eventually(partial(_has_begun, m, n), 30, "it does not run")
        began = time.monotonic()
        verdicts = asking.ask(calls)
        took.append(time.monotonic() - began)
        assert sorted(verdicts) == [*(len(verdicts) - 1) * ["joined"], "requeued"]
        definitions.change("held", lambda one, n=n: replace(one, data={"n": n + 1}))
        m.book.rpush(f"go:{n + 1}", "go")
        if kills:
            worker.kill()
            killed += 1
        else:
            m.book.rpush(f"go:{n}", "go")
        eventually(lambda: not m.jobs.get("@held").is_live, 60, "it has not run again")
        _judge(m, n, State.ABORTED_RESTART if kills else State.RESCHEDULED)
    asking.stop()
    middle = sorted(took)[len(took) // 2]
    return f"{rounds} rounds, {killed} with a kill: one further run each; {calls} calls took {middle:.2f} s (median)"


def _has_begun(m: Any, n: int) -> bool:
    return bool(m.book.llen("held") == n)


def _judge(m: Any, n: int, end: State) -> None:
    assert [line.decode() for line in m.book.lrange("held", n - 1, -1)] == [f"{n} {n}", f"{n + 1} {n + 1}"]
    job = m.jobs.get("@held")
    assert (job.state, job.run, job.result) == (State.FINISHED, n + 1, n + 1)
    assert [step.target for step in m.jobs.history("@held") if step.run == n][-1] is end


def lost_triggers(stage: Stage, definitions: int, every: float, seconds: float, late: float = 2.0) -> str:
    """Events, three in ten of which are not followed by their trigger: the backup sees to those, and to no others.

    Parameters: the backup comes after `every` seconds, and may be `late`.  Returns: the figures.
    """
    api, chance = stage.m.jobs.definitions, random.Random(3)
    stage.start(*BEAT)
    stage.start(*WORKER).process.wait_ready()
    names = [f"event{n}" for n in range(definitions)]
    for name in names:
        api.create(name, task=f"{TASKS}.fire", backup_every=every)
    events: list[tuple[str, datetime, bool]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name, triggered = chance.choice(names), chance.random() > 0.3
        events.append((name, datetime.now(timezone.utc), triggered))
        if triggered:
            api.queue_now(name)
        time.sleep(0.1)
    eventually(lambda: datetime.now(timezone.utc) > events[-1][1] + timedelta(seconds=every + late), every + late + 5)
    history = api.history(limit=100_000)
    seen = []
    for name, at, _ in events:
        first = min(one.started_at for one in history if one.definition == name and one.started_at > at)
        seen.append((first - at).total_seconds())
    assert max(seen) < every + late, max(seen)
    backups = [one for one in history if one.source == "backup"]
    for one in backups:
        before = [it.started_at for it in history if it.definition == one.definition and it.started_at < one.queued_at]
        quiet = one.queued_at - max(before) if before else timedelta(seconds=every)
        assert quiet >= timedelta(seconds=every - 0.01), f"the backup of {one.definition} was not needed"
    dropped = sum(not triggered for *_, triggered in events)
    return (
        f"{len(events)} events, {dropped} triggers lost: work seen after {max(seen):.2f} s at most; "
        f"{len(backups)} backups, 0 not needed"
    )


def main() -> None:
    """One of the two, by itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.triggers", description=__doc__)
    parser.add_argument("what", choices=["wishes", "lost"])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--kill-every", type=int, default=4, help="rounds, of which one kills the worker")
    parser.add_argument("--definitions", type=int, default=50)
    parser.add_argument("--backup", type=float, default=15.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=90)
    given = parser.parse_args()
    with ExitStack() as closing:
        folder = Path(tempfile.mkdtemp(prefix="jobkit-triggers-"))  # the logs stay
        opened = closing.enter_context(stage(closing.enter_context(EmbeddedRedis()).url, folder))
        if given.what == "wishes":
            print(wishes(opened, given.rounds, given.clients, given.calls, given.kill_every))
        else:
            print(lost_triggers(opened, given.definitions, given.backup, given.seconds, late=5.0))


if __name__ == "__main__":
    main()

"""Tasks for the tests with real workers; what they do outside of Redis goes to the file named in the environment."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery, group
from celery.exceptions import Ignore, Reject

from jobkit import Backoff, Ending, JobKit, Policy, Semaphore, State
from tests import brokers

URL = os.environ.get("JOBKIT_TEST_URL", "redis://localhost:1/0")
app = Celery("lifecycle", **brokers.beside(URL))
if "JOBKIT_TEST_DEFAULTS" not in os.environ:
    app.conf.update(jobkit_renew=0.5, jobkit_keeper_interval=0.2)
    app.conf.jobkit_lease = float(os.environ.get("JOBKIT_TEST_LEASE", "2"))
app.conf.worker_prefetch_multiplier = int(os.environ.get("JOBKIT_TEST_PREFETCH", "1"))
app.conf.worker_disable_prefetch = "JOBKIT_TEST_NO_PREFETCH" in os.environ
if "JOBKIT_TEST_LIMIT" in os.environ:
    app.conf.jobkit_on_finished_limit = float(os.environ["JOBKIT_TEST_LIMIT"])
app.conf.jobkit_priorities = "JOBKIT_TEST_PRIORITIES" in os.environ
app.conf.jobkit_ageing = 1.0
if brokers.kind() == "rabbitmq":
    app.conf.task_queue_max_priority = 10
jobs = JobKit(app)


#: Of this app alone: the module is imported anew for each test.
task = partial(app.task, shared=False)


def note(*words: object) -> None:
    """One line outside of Redis: what really happened."""
    with open(os.environ["JOBKIT_TEST_NOTES"], "a") as notes:
        notes.write(" ".join(map(str, words)) + "\n")


def told(self: Any, job: Any, ending: Ending) -> None:
    """The hook of the tasks below."""
    note("hook", job.id, job.run, ending.state, ending.outcome)


@task(bind=True, on_finished=told)
def add(self: Any, a: int, b: int) -> int:
    note("body", self.job.id, self.job.run)
    return a + b


def plans(self: Any, job: Any, ending: Ending) -> None:
    """Has the job run three times, counting in its checkpoint."""
    told(self, job, ending)
    job.checkpoint = (job.checkpoint or 0) + 1
    if job.checkpoint < 3:
        job.reschedule(0.1)


@task(bind=True, on_finished=plans)
def in_parts(self: Any, fails: bool = False) -> Any:
    note("part", self.job.id, self.job.run, self.job.checkpoint)
    if fails:
        raise KeyError("part")
    return self.job.checkpoint


@task(bind=True)
def plans_itself(self: Any) -> int:
    if self.job.run < 3:
        self.job.reschedule()
    return int(self.job.run)


@task(bind=True, on_finished=told, max_retries=5)
def tries_on(self: Any, how: str, exc: bool) -> None:
    """Is tried again although it was cancelled: it looks, it never does, or it has asked for that before."""
    note("body", self.job.id, self.job.run)
    options = {"countdown": 0, "exc": KeyError("once more") if exc else None, "throw": False}
    asked = self.retry(**options) if how == "before" else None
    note("waits", self.job.id)
    while not self.job.should_finish if how == "looks" else self.app.jobkit.get(self.job.id).state is State.RUNNING:
        time.sleep(0.01)
    raise asked or self.retry(**options)


@task(bind=True, on_finished=told, acks_late=True)
def gives_back(self: Any, looks: bool) -> None:
    """Wants its message back in the queue although it was cancelled; it knows that, or does not."""
    note("body", self.job.id, self.job.run)
    note("waits", self.job.id)
    while not self.job.should_finish if looks else self.app.jobkit.get(self.job.id).state is State.RUNNING:
        time.sleep(0.01)
    raise Reject("not now", requeue=True)


def hangs_when_told(self: Any, job: Any, ending: Ending) -> None:
    told(self, job, ending)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        time.sleep(0.01)
    note("survived", job.id)


@task(bind=True, on_finished=hangs_when_told, policy=Policy(max_restarts=1, backoff=Backoff(first=0.1)))
def told_for_ever(self: Any) -> int:
    note("body", self.job.id, self.job.run)
    if self.job.run == 1:
        raise KeyError("once more")
    return int(self.job.run)


def deaf_when_told(self: Any, job: Any, ending: Ending) -> None:
    told(self, job, ending)
    ctypes.PyDLL(None).sleep(60)  # holds the interpreter's lock: no exception arrives, no other thread runs


@task(bind=True, on_finished=deaf_when_told)
def told_and_deaf(self: Any) -> int:
    return int(self.job.run)


@task(bind=True, on_finished=told)
def boom(self: Any) -> None:
    raise KeyError("boom")


@task(bind=True)
def partly(self: Any) -> Any:
    job = self.job
    job.progress(1, 4, "one of four")
    job.log("looking", level="WARNING")
    job.checkpoint = {"at": 1}
    return job.partially_succeeded("3 skipped", result=[1])


@task(bind=True, max_retries=5)
def goes_on(self: Any) -> Any:
    seen = self.job.checkpoint or []
    self.job.checkpoint = [*seen, self.job.run]
    if self.job.run < 3:
        raise self.retry(countdown=0)
    return self.job.checkpoint


@task(bind=True, acks_late=True, on_finished=told)
def may_run_twice(self: Any, seconds: float) -> int:
    note("body", self.job.id, self.job.run)
    time.sleep(seconds if self.job.run == 1 else 0)
    return self.job.run


@task(bind=True, on_finished=told)
def at_most_once(self: Any, seconds: float) -> int:
    note("body", self.job.id, self.job.run)
    time.sleep(seconds)
    return self.job.run


@task
def refuses(requeue: bool | None = None) -> None:
    """Asks to be ignored, or rejects its message."""
    raise Ignore if requeue is None else Reject("not mine", requeue=requeue)


@task
def dies() -> None:
    os.kill(os.getpid(), 9)
    time.sleep(60)


@task(bind=True, acks_late=True)
def poison(self: Any) -> None:
    note("body", self.job.id, self.job.run)
    os.kill(os.getppid(), 9)
    time.sleep(60)


@task(bind=True, on_finished=told)
def looks(self: Any, seconds: float) -> str:
    """Looks whether it should finish."""
    note("body", self.job.id, self.job.run)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        self.job.raise_if_should_finish()
        time.sleep(0.01)
    return "done"


def told_until_cancelled(self: Any, job: Any, ending: Ending) -> None:
    told(self, job, ending)
    until = time.monotonic() + 20
    while time.monotonic() < until and self.app.jobkit.get(job.id).state is State.RUNNING:
        time.sleep(0.01)


@task(bind=True, on_finished=told_until_cancelled, acks_late=True)
def looks_late(self: Any, seconds: float) -> str:
    """Hears of the end of its first run, whose worker died, when its second one has been claimed."""
    return str(looks.run.__func__(self, seconds))


@task(bind=True)
def lingers(self: Any) -> int:
    """Its first run goes on until it should finish, and notes when and why."""
    while self.job.run == 1 and not self.job.should_finish:
        time.sleep(0.01)
    note("left", self.job.id, self.job.run, self.job.stop_reason)
    return int(self.job.run)


@task(bind=True)
def returns(self: Any, seconds: float) -> str:
    """Sees that it should finish, and returns."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not self.job.should_finish:
        time.sleep(0.01)
    return "early"


@task(bind=True)
def hears(self: Any, seconds: float) -> str:
    """Has itself called when it should finish."""
    heard: list[Any] = []
    self.job.on_should_finish(heard.append)
    until = time.monotonic() + seconds
    while time.monotonic() < until and not heard:
        time.sleep(0.01)
    note("heard", self.job.id, *heard)
    return "heard"


@task(bind=True, on_finished=told)
def hangs(self: Any, seconds: float) -> str:
    """Never looks."""
    note("body", self.job.id, self.job.run)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
    note("survived", self.job.id)
    return "done"


@task(bind=True)
def starts_a_process(self: Any) -> None:
    """Never looks, and has a child that has a child."""
    script = "import subprocess, sys; subprocess.run(['sleep', '600'])"
    process = subprocess.Popen([sys.executable, "-c", script])
    note("process", self.job.id, process.pid)
    process.wait()


@task(bind=True, time_limit=1)
def starts_a_process_and_has_a_limit(self: Any) -> None:
    starts_a_process.run.__func__(self)


@task(bind=True)
def cannot_be_ended(self: Any, seconds: float) -> str:
    """Sits in C code, where no exception arrives."""
    note("body", self.job.id, self.job.run)
    ctypes.CDLL(None).sleep(int(seconds))
    return "done"


@task(bind=True)
def counts(self: Any, most: int) -> int:
    """A hundred steps a second, each noted, from where it stopped."""
    for n, _ in self.job.iterate(range(most)):
        note("step", self.job.id, n)
        time.sleep(0.01)
    return most


@task(bind=True, policy=Policy(max_run_time=0.5, grace=0.5, max_restarts=1, backoff=Backoff(first=0.1)))
def overlong(self: Any, seconds: float) -> str:
    note("body", self.job.id, self.job.run)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        self.job.raise_if_should_finish()
        time.sleep(0.01)
    return "done"


@task(bind=True, policy=Policy(max_run_time=0.5, grace=0.5, max_restarts=1))
def overlong_and_deaf(self: Any, seconds: float) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
    return "done"


@task(bind=True, policy=Policy(max_restarts=2, backoff=Backoff(first=0.1, jitter=0)))
def errs(self: Any, times: int) -> int:
    if self.job.run <= times:
        raise ValueError(f"run {self.job.run}")
    return self.job.run


@task(bind=True, acks_late=True)
def guarded(self: Any, seconds: float) -> Any:
    """Notes when it is inside of what its lock guards, and with which fence."""
    fence = self.job.lock_fence
    note("in", self.job.id, fence)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        self.job.raise_if_should_finish()
        time.sleep(0.01)
    note("out", self.job.id, fence)
    return fence


@task(bind=True, policy=Policy(locks=lambda shelf, seconds: [shelf, Semaphore("hands", 3)]))
def tidies(self: Any, shelf: str, seconds: float) -> Any:
    """Its locks are in its arguments."""
    note("in", shelf, self.job.id)
    time.sleep(seconds)
    note("out", shelf, self.job.id)
    return self.job.lock_fence


@task(bind=True, on_finished=told)
def grows(self: Any, levels: int, width: int, seconds: float = 0.0) -> Any:
    """A tree: so many levels, so many children each; every node notes that it began, and what undoes it."""
    job = self.job
    note("body", job.id, job.run, levels)
    job.on_rollback(undo.s(job.id, 1))
    job.on_rollback(undo.s(job.id, 2))
    if levels:
        job.spawn(*(grows.s(levels - 1, width, seconds + n * 1e-9) for n in range(width)))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        job.raise_if_should_finish()
        time.sleep(0.01)
    return levels


@task(bind=True, on_finished=told)
def spreads(self: Any, widths: list[int], seconds: float) -> None:
    """A tree of so many children at each level, whose leaves take a while; every node notes that it began."""
    job = self.job
    note("body", job.id, job.run, len(widths))
    job.on_rollback(undo.s(job.id, 1))
    job.on_rollback(undo.s(job.id, 2))
    if widths:
        job.spawn(*(spreads.s(widths[1:], seconds + n * 1e-9) for n in range(widths[0])))
    until = time.monotonic() + (0 if widths else seconds)
    while time.monotonic() < until:
        job.raise_if_should_finish()
        time.sleep(0.01)


@task(bind=True)
def undo(self: Any, what: str, step: int, seconds: float = 0.0, fails: bool = False) -> None:
    """A compensation."""
    note("undo", what, step, self.job.run)
    time.sleep(seconds)
    if fails:
        raise ValueError(f"cannot undo {step}")
    note("undone", what, step)


@task(bind=True)
def mends(self: Any, what: str, step: int, dies: str = "", fails: bool = False) -> None:
    """A compensation whose worker is killed with -9, once, before or after it does its work."""

    def die() -> None:
        note("died", what, step)
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    doomed = f"died {what} {step}\n" not in Path(os.environ["JOBKIT_TEST_NOTES"]).read_text()
    if dies == "before" and doomed:
        die()
    if fails:
        note("undone", what, step)
        raise ValueError(f"cannot undo {step}")
    note("undone", what, step)
    if dies == "after" and doomed:
        die()


@task(bind=True, on_finished=told)
def breaks(self: Any, steps: int, point: int, fails: int) -> None:
    """Its steps are undone by compensations; its worker dies at a point: 0 in its body, then before and after each."""
    for step in range(1, steps + 1):
        dies = {2 * step - 1: "before", 2 * step: "after"}.get(point, "")
        self.job.on_rollback(mends.s(self.job.id, step, dies, step == fails))
    if point == 0:
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)  # at once: its end must not be told before its worker's death reaches it
    raise KeyError("broken")


@task(bind=True, on_finished=told)
def works(self: Any, steps: int, seconds: float = 0.0, end: str = "boom", fails: int = 0) -> str:
    """Does steps, each with what undoes it, and then does not end well."""
    for step in range(1, steps + 1):
        self.job.on_rollback(undo.s(self.job.id, step, seconds, step == fails))
        note("did", self.job.id, step)
    until = time.monotonic() + 60
    while end == "wait" and time.monotonic() < until:
        self.job.raise_if_should_finish()
        time.sleep(0.01)
    if end == "boom":
        raise KeyError("boom")
    return end


@task(bind=True, on_finished=told)
def parent(self: Any, kinds: list[Any], failure: str = "fail", then: bool = False) -> str:
    """Children that are what their name says: well, bad, slow."""
    signatures = [child.s(kind, n) for n, kind in enumerate(kinds)]
    self.job.spawn(*signatures, failure=failure, then=collect.s() if then else None)
    return "body done"


@task(bind=True, policy=Policy(max_restarts=50), on_finished=told)
def gathers(self: Any, widths: list[int], number: int = 0) -> None:
    """A tree of so many children at each level, each of which is run again if its worker vanished."""
    note("body", self.job.id, self.job.run, number)
    if widths:
        self.job.spawn(*(gathers.s(widths[1:], n) for n in range(widths[0])))
    time.sleep(0.05)


@task(bind=True)
def child(self: Any, kind: str, number: int) -> Any:
    note("child", number, self.job.run)
    if kind == "bad":
        raise ValueError(f"child {number}")
    until = time.monotonic() + (60 if kind == "slow" else 0)
    while time.monotonic() < until:
        self.job.raise_if_should_finish()
        time.sleep(0.01)
    return number


@task
def collect(results: list[Any]) -> Any:
    note("collected", results)
    return results


@task(bind=True, policy=Policy(max_restarts=1, backoff=Backoff(first=0.1, jitter=0)))
def tries_again(self: Any) -> str:
    """Its second child fails in its first run, and is the one that is done again."""
    self.job.spawn(child.s("well", 1), fails_once.s(self.job.id))
    return "done"


@task(bind=True)
def fails_once(self: Any, over: str) -> None:
    note("tried", self.job.id, self.job.run)
    if self.job.run == 1:
        raise ValueError("once")


@task(bind=True)
def sends_canvas(self: Any) -> Any:
    return (group(add.s(1, 1), add.s(2, 2)) | collect.s()).apply_async().id


@task(bind=True, policy=Policy(expected_run_time=600))
def takes_long(self: Any) -> None:
    note("body", self.job.id)


@task(bind=True, policy=Policy(expected_run_time=1))
def is_short(self: Any, seconds: float = 0.0) -> None:
    note("body", self.job.id)
    time.sleep(seconds)


@task(bind=True, policy=Policy(max_restarts=50))
def storms(self: Any, locks: list[str]) -> None:
    """Notes with its fence when it is inside of what its locks guard, and again when it leaves."""
    fence = self.job.lock_fence
    note("in", self.job.id, fence)
    time.sleep(0.1)
    note("out", self.job.id, fence)

"""A Redis of its own, the app on it, workers that can be hurt, and the judge at the end."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from redis import Redis

from jobkit import JobKit, StoreError
from jobkit.embedded import EmbeddedRedis
from jobkit.states import Category, State, states
from jobkit.store import records, workers
from jobkit.testing import WorkerProcess, eventually
from tests.brokers import broker
from tests.chaos import evidence as words
from tests.chaos.app import CONFIG, make
from tests.chaos.evidence import Evidence, Line
from tests.chaos.nursery import Nursery
from tests.chaos.oracle import Case, Finding, Record, judge
from tests.store.checks import Check

ROOT = Path(__file__).parents[2]
#: Indexes that are empty when everything has ended and everybody has gone.
TRANSIENT = ("due", "outbox", "deadlines", "suspects", "held:*", "after:*", "orders:*")


class Worker(WorkerProcess):
    """A real worker, forked from the nursery; what is done to it is noted."""

    def __init__(self, stage: Stage, name: str, arguments: Sequence[str], config: Mapping[str, Any]) -> None:
        self.name, self._evidence, self._output = name, stage.evidence, stage.folder / f"{name}.log"
        self.frozen = self.gone = False
        quick = ["--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel=INFO"]
        argv = ["celery", "-A", "tests.chaos.worker", "worker", *quick, *arguments]
        env = {words.VARIABLE: name, CONFIG: json.dumps(config)}
        self._output.touch()
        self._process: Any = stage.nursery.fork(argv, env, self._output)

    def kill_all(self) -> float:
        """End all its processes at once, as a power cut does; returns when they were gone."""
        self.clean_up()
        return self._has_gone()

    def freeze(self) -> None:
        """Stop all its processes."""
        os.killpg(self.pid, signal.SIGSTOP)
        self.frozen = True
        self._evidence.note(words.FROZEN, worker=self.name)

    def thaw(self) -> None:
        """Let them go on."""
        self._evidence.note(words.THAWED, worker=self.name)
        self.frozen = False
        os.killpg(self.pid, signal.SIGCONT)

    def tell(self, number: int = signal.SIGTERM) -> None:
        """Tell its main process to end."""
        self._evidence.note(words.TOLD, worker=self.name, signal=int(number))
        os.kill(self.pid, number)

    def ended(self) -> bool:
        """Whether it has ended; the first to see it notes it."""
        if not self.gone and not self.alive:
            self._has_gone()
        return self.gone

    def _has_gone(self) -> float:
        self.gone = True
        return self._evidence.note(words.GONE, worker=self.name)

    @property
    def children(self) -> list[int]:
        """The processes of its pool."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


class Stage:
    """Everything a scenario needs.

    Parameters: `folder` for logs and evidence; `conf` of the app; `appendonly` and `extra` for its Redis; a `nursery`
    that is shared; `test_clock` has the scripts read the time from a key.
    """

    def __init__(
        self,
        folder: Path,
        conf: Mapping[str, Any] | None = None,
        *,
        appendonly: bool = True,
        extra: Sequence[str] = (),
        nursery: Nursery | None = None,
        test_clock: bool = False,
    ) -> None:
        self.folder = folder
        self.serve(appendonly, extra)
        self.evidence = Evidence(folder / "evidence")
        urls = {"broker": broker(self.url(0)), "store": self.url(1)}
        common = {"evidence": str(self.evidence.path), "conf": dict(conf or {}), "test_clock": test_clock}
        #: What the workers are given.
        self.config: dict[str, Any] = urls | common
        self.app: Any = make(urls | common)
        self.jobs: JobKit = self.app.jobkit
        self.broker, self.redis = self.client(0), self.client(1)
        self.workers: list[Worker] = []
        self.nursery = nursery or Nursery(ROOT)
        self._own_nursery = nursery is None

    def serve(self, appendonly: bool, extra: Sequence[str]) -> None:
        """Start what keeps everything: it writes before it answers, so that kill -9 takes nothing that was said."""
        self.server = EmbeddedRedis(appendonly=appendonly, extra=("--appendfsync", "no", *extra)).start()

    def url(self, db: int) -> str:
        """Where a database of it is."""
        return f"{self.server.url.rpartition('/')[0]}/{db}"

    def client(self, db: int) -> Redis:
        """A client of that."""
        return Redis.from_url(self.url(db))

    def unserve(self) -> None:
        """Stop it."""
        self.server.stop()

    def start(
        self,
        pool: str = "prefork",
        concurrency: int = 2,
        arguments: Sequence[str] = (),
        *,
        wait: bool = True,
        **config: Any,
    ) -> Worker:
        """Start a worker; `config` in place of what the others are given."""
        name = f"w{len(self.workers)}@chaos"
        argv = [f"--hostname={name}", f"--pool={pool}", f"--concurrency={concurrency}", *arguments]
        worker = Worker(self, name, argv, {**self.config, **config})
        self.workers.append(worker)
        if wait:
            worker.wait_ready()
        return worker

    def submit(self, task: str, *args: Any, **options: Any) -> Any:
        """Submit a job, and note that it was accepted; None if that cannot be said."""
        options.setdefault("task_id", f"{task}-{time.monotonic_ns():x}")
        try:
            handle = self.app.tasks[task].apply_async(args, **options)
        except StoreError as exc:
            self.evidence.note(words.INDETERMINATE, options["task_id"], task=task, error=repr(exc))
            return None
        self.evidence.note(words.ACCEPTED, options["task_id"], task=task)
        return handle

    # -- waiting -------------------------------------------------------------------------------------------------

    def started(self, *handles: Any, run: int = 1, timeout: float = 20) -> list[Line]:
        """The first lines of the bodies of that run, once all have begun."""

        def begun() -> list[Line]:
            lines = {line.job: line for line in self.evidence.lines(words.START) if line.run >= run}
            return [lines[handle.id] for handle in handles if handle.id in lines]

        eventually(lambda: len(begun()) == len(handles), timeout, self.story)
        return begun()

    def live(self) -> int:
        """How many jobs have not ended."""
        counts = self.jobs.counts()
        return sum(counts.get(state, 0) for state in State if state.is_live)

    def all_end(self, timeout: float = 30) -> None:
        """Return when no job is live."""
        eventually(lambda: self.live() == 0, timeout, self.story)

    def told(self, timeout: float = 10) -> None:
        """Return when every run that ended had its hook called, or time is up: the judge says which had not."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ended = sum(len(record.runs) for record in self.records().values())
            if len(self.evidence.lines(words.HOOK)) >= ended:
                return
            time.sleep(0.1)

    def story(self) -> str:
        """What is known of the jobs that have not ended, for a failure."""
        paths = {job: " ".join(step.target for step in record.path) for job, record in self.records().items()}
        return f"\n{paths}\n{self.evidence.path.read_text()[-4000:]}\n{self.leftovers()}"

    # -- judging -------------------------------------------------------------------------------------------------

    def records(self) -> dict[str, Record]:
        """What the store says of every job."""
        keys = self.jobs.store.keys
        found: list[str] = []
        for state in State:
            found += [job_id.decode() for job_id in cast(Any, self.redis.zrange(keys.state(state), 0, -1))]
        read: dict[str, Record] = {}
        with self.redis.pipeline(transaction=False) as pipe:
            for job_id in found:
                pipe.hgetall(keys.job(job_id))
            for job_id, fields in zip(found, pipe.execute(), strict=True):
                read[job_id] = self._record(job_id, records.texts(fields))
        return read

    def _record(self, job_id: str, fields: dict[str, str]) -> Record:
        policy = getattr(self.app.tasks.get(fields.get("task", "")), "policy", None)
        meta = json.loads(fields.get("meta", "{}"))
        result = meta.get("result") if meta.get("status") == "SUCCESS" else None
        most = policy.max_restarts if policy else self.jobs.settings.max_rescues if "late" in job_id else 0
        return Record(job_id, records.path(job_id, fields["path"]), result, most)

    def leftovers(self) -> dict[str, int]:
        """The sizes of what should be empty in the end."""
        base, sizes = self.jobs.store.keys.base, {}
        for pattern in TRANSIENT:
            for key in self.redis.scan_iter(base + pattern, count=1000):
                kind = cast(bytes, self.redis.type(key))
                size = {b"zset": self.redis.zcard, b"set": self.redis.scard, b"list": self.redis.llen}.get(kind)
                sizes[key.decode()] = size(key) if size else 1
        leases = workers.alive(self.jobs.store)
        living = {worker.name for worker in self.workers if not worker.ended()}
        gone = [name for name in leases if name.partition("|")[0] not in living]
        return sizes | ({f"leases of {', '.join(gone)}": len(gone)} if gone else {})

    def open_bodies(self) -> list[Line]:
        """The first lines of bodies that have yet to say how they ended: those that waited for Redis may be late."""
        lines = self.evidence.lines()
        over = {(line.job, line.run, line.pid) for line in lines if line.what == words.END}
        begun = (line for line in lines if line.what == words.START and (line.job, line.run, line.pid) not in over)
        return [line for line in begun if Path(f"/proc/{line.pid}").exists()]

    def end_workers(self, timeout: float = 20) -> None:
        """Tell every worker to end, and wait until it has."""
        for worker in self.workers:
            if worker.frozen:
                worker.thaw()
            if not worker.ended():
                worker.tell()
        eventually(lambda: all(worker.ended() for worker in self.workers), timeout)

    def judge(self, timeout: float = 30, ignore: Iterable[str] = ()) -> list[Finding]:
        """Wait for the end of everything, judge it, and end the workers; `ignore` names rules that do not apply."""
        self.all_end(timeout)
        self.told()
        with suppress(AssertionError):
            eventually(lambda: not self.leftovers(), 10)
            eventually(lambda: not self.open_bodies(), 5)
        self.note_what_was_cut_off()
        self.judged = Case(self.evidence.lines(), self.records(), self.leftovers())
        Check(self.jobs.store).run()
        self.end_workers()
        return [finding for finding in judge(self.judged) if finding.rule not in ignore]

    def note_what_was_cut_off(self) -> None:
        """Which runs nobody tells their jobs of, as the workers say that found it."""
        for worker in self.workers:
            for job, run in re.findall(r"\[(\S+)\] was being told that its run (\d+) ended", worker.log):
                self.evidence.note(words.CUT_OFF, job, int(run), worker.name)

    def close(self) -> None:
        """End everything."""
        for worker in self.workers:
            worker.clean_up()
        if self._own_nursery:
            self.nursery.close()
        self.jobs.close()
        self.app.close()
        self.broker.close()
        self.redis.close()
        self.evidence.close()
        self.unserve()


@contextmanager
def staged(folder: Path, conf: Mapping[str, Any] | None = None, **options: Any) -> Iterator[Stage]:
    """A stage, closed at the end."""
    stage = Stage(folder, conf, **options)
    try:
        yield stage
    finally:
        stage.close()


#: The states of a job that is over.
OVER = states(Category.ENDED)

"""``python -m tests.chaos.failover``: the master is killed under load, and a replica takes its place (N6, G7)."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from redis.sentinel import Sentinel

from jobkit import StoreError
from jobkit.embedded.address import free_port
from jobkit.embedded.programs import find_server
from jobkit.store.durability import MEMORY, REPLICA
from jobkit.testing import eventually
from tests.chaos.evidence import ACCEPTED, INDETERMINATE, START, STORE_DOWN, STORE_UP
from tests.chaos.figures import spread
from tests.chaos.oracle import Case, Finding
from tests.chaos.stage import Stage

#: What Sentinel calls the master; ms of silence after which it is down.
NAME, DOWN_AFTER = "chaos", 5000
#: Seconds after that in which everybody is at work again.
GOAL = DOWN_AFTER / 1000 + 10
#: Seconds a replica may be behind: what was accepted in them may go with the master.
LAG = 1.0
#: What is no finding of a Redis that has lost what it acknowledged: nobody remembers the first time.
PHYSICAL = (
    "every_run_starts_once", "bodies_do_not_overlap", "hooks_are_called_once", "no_write_of_an_old_run_is_accepted",
)  # fmt: skip


class Member:
    """A Redis, or a Sentinel, with these lines of configuration."""

    def __init__(self, folder: Path, *lines: str, sentinel: bool = False) -> None:
        self.port = free_port()
        folder = folder / str(self.port)
        folder.mkdir()
        self._conf = folder / "redis.conf"
        common = ("bind 127.0.0.1", f"port {self.port}", f"dir {folder}", f"logfile {folder}/log", "protected-mode no")
        self._conf.write_text("\n".join((*common, *lines)) + "\n")
        self._options = ["--sentinel"] if sentinel else []
        self.client: Any = Redis(port=self.port)
        self.start()

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._process = subprocess.Popen([find_server(), str(self._conf), *self._options], stdout=subprocess.DEVNULL)
        eventually(lambda: answers(self.client))

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    @property
    def follows(self) -> bool:
        """Is it a replica that has all its master has?"""
        return answers(self.client) and self.client.info("replication").get("master_link_status") == "up"


def answers(client: Redis) -> bool:
    """Does it?"""
    try:
        return bool(client.ping())
    except RedisError:
        return False


class Watched(Stage):
    """A stage whose Redis is a master with two replicas, behind three Sentinels."""

    def serve(self, appendonly: bool, extra: Sequence[str]) -> None:
        lines = ("appendonly yes", "repl-diskless-sync-delay 0")
        master = Member(self.folder, *lines)
        replicas = (Member(self.folder, *lines, f"replicaof 127.0.0.1 {master.port}") for _ in range(2))
        self.members = [master, *replicas]
        watch = f"sentinel monitor {NAME} 127.0.0.1 {master.port} 2"
        times = (f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER}", f"sentinel failover-timeout {NAME} 10000")
        self.sentinels = [Member(self.folder, watch, *times, sentinel=True) for _ in range(3)]
        self.sentinel = Sentinel([("127.0.0.1", one.port) for one in self.sentinels], socket_timeout=1.0)
        eventually(lambda: self.replicas_follow() and self.knows_all(), 30)

    def url(self, db: int) -> str:
        return ";".join(f"sentinel://127.0.0.1:{one.port}/{db}" for one in self.sentinels)

    def client(self, db: int) -> Redis:
        return self.sentinel.master_for(NAME, db=db)

    def unserve(self) -> None:
        for member in (*self.sentinels, *self.members):
            member.kill()

    def replicas_follow(self) -> bool:
        """Has every replica what the master has?"""
        port = self.master().port
        return all(one.follows for one in self.members if one.port != port)

    def knows_all(self) -> bool:
        """Do all Sentinels know each other and the replicas?"""
        states = [one.client.sentinel_master(NAME) for one in self.sentinels]
        return all((state["num-slaves"], state["num-other-sentinels"]) == (2, 2) for state in states)

    def master(self) -> Member:
        """Who Sentinel says is the master."""
        _, port = self.sentinels[0].client.sentinel_get_master_addr_by_name(NAME)
        return next(one for one in self.members if one.port == port)

    def fail_over(self) -> None:
        """Kill the master, wait for the next one, and bring the old one back as its replica."""
        old = self.master()
        self.evidence.note(STORE_DOWN)
        old.kill()
        eventually(lambda: self.master() is not old, 60)
        up = self.evidence.note(STORE_UP)
        eventually(lambda: len({line.worker for line in self.evidence.lines(START) if line.at > up}) == 3, 60)
        old.start()
        eventually(lambda: self.replicas_follow() and self.knows_all(), 60)
        time.sleep(LAG)  # what is lost with the next one is younger


def submit_until(stage: Stage, stop: threading.Event) -> None:
    """Clients: never so many that a job has to wait."""
    while not stop.is_set():
        try:
            if stage.live() < 6:
                stage.submit("steps", 5, 0.05)
                stage.submit("plain", 0.1)
        except StoreError:
            continue
        time.sleep(0.02)


def usable(case: Case) -> tuple[list[float], list[float]]:
    """Seconds from each death of a master until a job was accepted, and until each worker had begun one, again."""
    accepted: list[float] = []
    begun: list[float] = []
    for down, up in zip(case.of(STORE_DOWN), case.of(STORE_UP), strict=True):
        accepted.append(min(line.at for line in case.of(ACCEPTED) if line.at > down.at + 0.1) - down.at)
        first: dict[str, float] = {}
        for line in case.of(START):
            if line.at > up.at:
                first.setdefault(line.worker, line.at - down.at)
        begun += first.values()
    return accepted, begun


def lost(case: Case, findings: Sequence[Finding], durability: str) -> tuple[set[str], list[Finding]]:
    """Jobs that went with a master, and what cannot be explained so: none may where a replica had to have it."""
    gone = {finding.job for finding in findings if finding.rule == "nothing_is_lost"}
    if durability == REPLICA:
        return gone, list(findings)
    times, downs = {line.job: line.at for line in case.of(ACCEPTED)}, [line.at for line in case.of(STORE_DOWN)]
    late = {job for job in gone if not any(-LAG <= times[job] - down <= GOAL for down in downs)}
    return gone, [finding for finding in findings if finding.job not in gone or finding.job in late]


def main() -> int:
    """Run it; 0 if the goals are met."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.failover", description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="default %(default)s")
    parser.add_argument("--durability", choices=(MEMORY, REPLICA), default=MEMORY, help="default %(default)s")
    parser.add_argument(
        "--strict", action="store_true", help="claims and ends wait for a replica too: nothing is forgotten"
    )
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="jobkit-failover-"))
    named = {"master_name": NAME}
    conf = {"broker_transport_options": named, "result_backend_transport_options": named}
    strict = {"jobkit_strict_claims": options.strict}
    stage = Watched(folder, {**conf, "jobkit_durability": options.durability, **strict})
    try:
        for _ in range(3):
            stage.start(wait=False)
        stop = threading.Event()
        clients = threading.Thread(target=submit_until, args=(stage, stop), daemon=True)
        clients.start()
        eventually(lambda: len({line.worker for line in stage.evidence.lines(START)}) == 3, 30)
        for _ in range(options.kills):
            stage.fail_over()
        stop.set()
        clients.join(20)
        found = stage.judge(90, ignore=() if options.strict else PHYSICAL)
        gone, findings = lost(stage.judged, found, options.durability)
        accepted, begun = usable(stage.judged)
    finally:
        stage.close()
    print(f"jobs accepted                      {len(stage.judged.of(ACCEPTED))}")
    print(f"not confirmed, or not known        {len(stage.judged.of(INDETERMINATE))}")
    print(f"went with a master, of its last {LAG:g} s  {len(gone)}")
    print(f"master killed to a job accepted    {spread(accepted)}  goal max <= {GOAL:g} s")
    print(f"master killed to a start, by worker  {spread(begun)}  goal max <= {GOAL:g} s, n = {3 * options.kills}")
    print(f"findings                           {findings}  goal []")
    print(f"evidence and logs: {folder}")
    return int(bool(findings) or max(accepted + begun) > GOAL or len(begun) < 3 * options.kills)


if __name__ == "__main__":
    sys.exit(main())

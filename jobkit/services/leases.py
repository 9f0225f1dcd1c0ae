"""Prove this worker alive, and take over the runs of those that are not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from jobkit.errors import StoreUnavailable
from jobkit.store import JobStore, workers

log = logging.getLogger("jobkit")

#: Runs one round takes over at most, so that a mass death spreads over the living.
BATCH = 100
#: The part of a lease for which a worker trusts its claims; the rest is for clocks, bodies and wires that are slow.
TRUST = 0.7
#: Seconds two clocks may part between two beats before one of them is taken to have jumped.
JUMP = 1.0


class Heartbeat:
    """The lease of one worker, and the guard that keeps it from believing a clock that jumps.

    Parameters: `worker` (node|boot); `lease`, seconds without a proof of life until its runs are taken over; `renew`,
    seconds between two proofs; `trust` is told for how many seconds from now nobody can take its runs over; `doubt` has
    every body look whose its run is.
    """

    def __init__(
        self,
        store: JobStore,
        worker: str,
        lease: float,
        renew: float,
        trust: Callable[[float], None] = lambda _: None,
        doubt: Callable[[], object] = lambda: None,
    ) -> None:
        self.store, self.worker, self.lease, self.renew, self._trust = store, worker, lease, renew, trust
        self._doubt = doubt
        self._redis, self._began, self._mine, self._trusted, self._jumped = 0.0, 0.0, 0.0, 0.0, 0.0
        self._tried, self._epoch = time.monotonic(), ""

    def run_once(self) -> None:
        """Renew the lease, if it is time to."""
        if self._mine and time.monotonic() - self._mine < self.renew:
            return
        began = time.monotonic()
        idle = began - self._tried
        try:
            at, held, epoch = workers.beat(self.store, self.worker, self.lease)
        except StoreUnavailable as exc:
            if not exc.silent:
                self._trust(TRUST * self.lease)  # down for everybody, so nobody can judge
            raise
        finally:
            self._tried = time.monotonic()
        self._look_for_a_loss(epoch)
        mine = self._tried
        if self._mine and not held:
            self._doubt()
        self._trust(TRUST * self.lease - (mine - began))
        if self._mine:
            self._judge(at - self._redis, began, idle, held)
        else:
            # Whoever is alive renews at least twice in a lease: until then he may be late, by a jump of Redis's clock.
            self._trusted = mine + self.lease / 2
        self._redis, self._began, self._mine = at, began, mine

    def _look_for_a_loss(self, epoch: str) -> None:
        if self._epoch and epoch != self._epoch:
            log.error("Redis has lost everything: what was recorded until now is gone, and what runs is known no more")
            self.store.check_schema()
        self._epoch = epoch

    def _judge(self, theirs: float, began: float, idle: float, held: bool) -> None:
        # Redis read its clock at some moment between a question and its answer, however far apart these are.
        mine, least, most = self._tried - self._mine, began - self._mine, self._tried - self._began
        if not least - JUMP <= theirs <= most + JUMP:
            log.warning("the clock of Redis jumped by %.1f s: every lease counts from now", theirs - mine)
            self._trusted = self._jumped = time.monotonic() + self.lease
            workers.rebase(self.store, self.lease, self.worker, theirs - (least + most) / 2)
        elif mine > self.lease - self.renew:
            # Redis was away: nobody can have renewed for sure, so nobody is judged for a lease.  Or this process was,
            # as it did not even ask: then it is like one that begins.  So it is after a shorter while, in which the
            # lease of somebody who had renewed just before may have run out.
            froze = idle > self.lease / 2 and self._tried - began < self.renew
            self._trusted = time.monotonic() + (self.lease / 2 if froze or mine <= self.lease else self.lease)
            if mine > self.lease:
                log.warning(
                    "no proof of life for %.1f s%s", mine, "" if held else ": others may have taken over the runs"
                )

    @property
    def may_judge(self) -> bool:
        """Has this worker seen enough time go by in order: half a lease when it begins, a whole one after trouble?"""
        now = time.monotonic()
        return self._mine > 0 and now >= self._trusted and now - self._mine < self.lease / 2

    @property
    def is_rebasing(self) -> bool:
        """Did the clock of Redis jump just now, so that not everybody has seen it yet?"""
        return time.monotonic() < self._jumped

    @property
    def until(self) -> float:
        """Redis time until which a judgement of now holds: what is carried out later (a pause, a jump) is no proof."""
        return self._redis + self.lease / 2

    def goodbye(self) -> None:
        """The worker goes down: what it still holds is taken over at once."""
        workers.beat(self.store, self.worker, 0)


def rescue(heart: Heartbeat, settle: Callable[[workers.Lost], None]) -> int:
    """One round: take over the runs of vanished workers and settle each; returns how many."""
    until = heart.until  # before: the next beat may come in between
    if not heart.may_judge:
        return 0
    lost = workers.rescue(heart.store, heart.worker, BATCH, until)
    for run in lost:
        log.warning("worker %s vanished while it ran %s[%s]", run.worker.partition("|")[0], run.task, run.id)
        settle(run)
    return len(lost)

"""Who this process is: the name others read, and the boot that tells two workers of one name apart."""

from __future__ import annotations

import os
import secrets
from functools import cache

from billiard.process import current_process
from celery.utils.nodenames import anon_nodename

#: Set by the worker before its pool forks, so that every child knows whose it is.
VARIABLE = "JOBKIT_WORKER"


def become_worker(hostname: str) -> str:
    """Take a new boot: node names repeat (fixed ``-n``, scaled containers), boots do not."""
    return be(f"{hostname}|{secrets.token_urlsafe(6)}")


def be(worker: str) -> str:
    """Be this worker, as ``node|boot``, or none: this process, and those that it starts."""
    os.environ[VARIABLE] = worker
    _worker_of.cache_clear()
    return worker


def worker() -> str:
    """The worker this process belongs to, as ``node|boot``; a client's name where there is none."""
    return _worker_of(os.getpid()) or f"{anon_nodename()}|"


@cache
def _worker_of(pid: int) -> str:
    # Reading the environment takes longer than all else that a claim asks of Python.
    return os.environ.get(VARIABLE, "")


def name() -> str:
    """What the history says about who did it."""
    return worker().partition("|")[0]


def in_worker() -> bool:
    """Is this a worker, or one of its children?"""
    return bool(_worker_of(os.getpid()))


def in_pool_child() -> bool:
    """Is this a process that runs one task at a time, and nothing else?"""
    return in_worker() and current_process()._name != "MainProcess"

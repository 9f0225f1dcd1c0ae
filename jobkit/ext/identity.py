"""Who this process is: the name others read, and the boot that tells two workers of one name apart."""

from __future__ import annotations

import os
import secrets

from billiard.process import current_process
from celery.utils.nodenames import anon_nodename

#: Set by the worker before its pool forks, so that every child knows whose it is.
VARIABLE = "JOBKIT_WORKER"


def become_worker(hostname: str) -> str:
    """Take a new boot: node names repeat (fixed ``-n``, scaled containers), boots do not."""
    os.environ[VARIABLE] = f"{hostname}|{secrets.token_urlsafe(6)}"
    return os.environ[VARIABLE]


def worker() -> str:
    """The worker this process belongs to, as ``node|boot``; a client's name where there is none."""
    return os.environ.get(VARIABLE) or f"{anon_nodename()}|"


def name() -> str:
    """What the history says about who did it."""
    return worker().partition("|")[0]


def in_worker() -> bool:
    """Is this a worker, or one of its children?"""
    return VARIABLE in os.environ


def in_pool_child() -> bool:
    """Is this a process that runs one task at a time, and nothing else?"""
    return in_worker() and current_process()._name != "MainProcess"

"""The other queues: what is installed for each, and how its workers are started, at its best on two processors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """A queue: its name, which is its module here too, what pip installs, a command for each of its worker processes
    that it does not start itself ("{redis}" is the address), and what is to be said of its setting."""

    name: str
    requirements: tuple[str, ...]
    workers: tuple[tuple[str, ...], ...]
    setting: str


_ARQ = ("arq", "benchmarks.peers.arq.Workers", "--custom-log-dict", "benchmarks.peers.arq.QUIET")

PEERS = (
    Peer(
        "dramatiq",
        ("dramatiq[redis]==2.2.1", "redis==8.1.0", "hiredis==3.5.0"),
        (("dramatiq", "benchmarks.peers.dramatiq", "-p", "2", "-t", "8"),),
        "two processes of eight threads (its defaults on two processors), no results",
    ),
    Peer(
        "rq",
        ("rq==3.0.0", "redis==8.1.0", "hiredis==3.5.0"),
        (("rq", "worker-pool", "-q", "-n", "2", "-w", "rq.worker.SimpleWorker", "-u", "{redis}"),),
        "a pool of two workers that do not fork for each job, results kept",
    ),
    Peer(
        "taskiq",
        ("taskiq==0.13.0", "taskiq-redis==1.2.4", "redis==8.1.0", "hiredis==3.5.0", "uvloop==0.23.0"),
        (("taskiq", "worker", "benchmarks.peers.taskiq:broker", "--workers", "2", "--log-level", "WARNING"),),
        "a list, of which nothing is acknowledged; two processes, uvloop, no results",
    ),
    Peer(
        "saq",
        ("saq[redis,hiredis]==0.26.4", "redis==7.4.1", "hiredis==3.5.0", "typing_extensions==4.16.0", "uvloop==0.23.0"),
        (("saq", "benchmarks.peers.saq.settings", "--workers", "2", "--quiet"),),
        "two processes of 50 jobs at a time, results kept",
    ),
    Peer(
        "huey",
        ("huey==3.5.4", "redis==8.1.0", "hiredis==3.5.0"),
        (("huey_consumer", "benchmarks.peers.huey.huey", "-k", "process", "-w", "2", "-q"),),
        "a list, of which nothing is acknowledged; two processes, results kept",
    ),
    Peer(
        "arq",
        ("arq==0.28.0", "redis==5.3.1", "hiredis==3.5.0", "uvloop==0.23.0"),
        (_ARQ, _ARQ),
        "two processes of 100 jobs at a time, which ask every 10 ms, results kept",
    ),
)

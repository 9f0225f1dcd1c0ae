"""The figures: how each is called, its unit, and what it is to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One figure: how it is called, its unit, whether more of it is better, and its goals: the ratio to a side by
    the side's name, or under "" the figure itself."""

    figure: str
    title: str
    unit: str
    more_is_better: bool = False
    goals: Mapping[str, float] = field(default_factory=dict)


def _of(pool: str, title: str, rate: float) -> Iterator[Row]:
    yield Row(f"{pool} rate", f"{title}: throughput", "jobs/s", True, {"celery": rate, "bare": 1.3})
    yield Row(f"{pool} work", f"{title}: jobs of 10 ms", "jobs/s", True, {"celery": 1.0})
    yield Row(f"{pool} worker CPU", f"{title}: worker CPU", "µs/job")
    yield Row(f"{pool} Redis CPU", f"{title}: Redis CPU, with delay()", "µs/job", False, {"celery": 0.6})
    yield Row(f"{pool} commands", f"{title}: Redis commands", "per job")


ROWS = (
    *_of("prefork", "prefork -c 2", 2.0),
    *_of("threads", "threads -c 8", 2.0),
    *_of("solo", "solo", 2.5),
    Row("submit rate", "delay(): throughput", "jobs/s", True, {"celery": 2.0}),
    Row("submit CPU", "delay(): client CPU", "µs/job"),
    Row("submit Redis CPU", "delay(): Redis CPU", "µs/job"),
    Row("submit commands", "delay(): Redis commands", "per job"),
    Row("bulk rate", "10,000 at once: throughput", "jobs/s", True, {"celery": 30.0}),
    Row("latency p50", "delay() to get(): p50", "ms", False, {"celery": 0.9}),
    Row("latency p99", "delay() to get(): p99", "ms", False, {"celery": 0.9}),
    Row("commands sent", "delay() to get(): commands sent", "per job", False, {"": 7}),
    Row("commands in scripts", "delay() to get(): commands in scripts", "per job"),
    Row("queued", "queued: message and record", "B/job", False, {"": 1_500}),
    Row("ended", "ended, five transitions; a result", "B/job", False, {"": 900}),
    Row("memory", "memory kept after the end", "B/job"),
    Row("keys", "of it keys and values", "B/job"),
)

"""The application the Jobs pages are shown for."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from jobkit import JobKit
from tests.brokers import beside

URL = os.environ.get("SHOP_REDIS", "redis://127.0.0.1:1/0")

app = Celery("shop", **beside(URL))
# What has ended is looked at in all tests of a session, however long that takes.
jobs = JobKit(app, patience=0.5, retention=3600.0)


@app.task(bind=True, name="shop.pack")  # type: ignore[untyped-decorator,unused-ignore]  # Celery is untyped
def pack(self: Any, things: int) -> dict[str, int]:
    """Pack things, and say so."""
    self.job.progress(things, things, "packed")
    self.job.log("packed <b>all</b> of them")
    return {"things": things}


@app.task(bind=True, name="shop.fetch", max_retries=2, default_retry_delay=0)  # type: ignore[untyped-decorator,unused-ignore]  # Celery is untyped
def fetch(self: Any, address: str) -> None:
    """Fail, and fail again."""
    try:
        raise ConnectionError(f"no answer from {address}")
    except ConnectionError as error:
        raise self.retry(exc=error, countdown=0) from error


@app.task(bind=True, name="shop.deliver")  # type: ignore[untyped-decorator,unused-ignore]  # Celery is untyped
def deliver(self: Any) -> None:
    """Have something done that fails, and that cannot be undone."""
    self.job.log("on its way")
    self.job.on_rollback(recall.s())
    self.job.spawn(drive.s())


@app.task(bind=True, name="shop.drive")  # type: ignore[untyped-decorator,unused-ignore]  # Celery is untyped
def drive(self: Any) -> None:
    """Fail."""
    self.job.log("the road is closed")
    raise TimeoutError("<b>no</b> way through")


@app.task(name="shop.recall")  # type: ignore[untyped-decorator,unused-ignore]  # Celery is untyped
def recall() -> None:
    """Fail to undo it."""
    raise LookupError("nobody knows where it is")


@app.task(bind=True, name="shop.count")  # type: ignore[untyped-decorator,unused-ignore]  # Celery is untyped
def count(self: Any) -> Any:
    """End well, but not quite."""
    return self.job.partially_succeeded("3 rows skipped", result=7)

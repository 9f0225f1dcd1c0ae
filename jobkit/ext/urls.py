"""Where the records are kept, as the configuration says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobkit.errors import InvalidOption

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

#: The schemes of URLs that name a Redis.
REDIS = frozenset({"redis", "rediss", "sentinel", "socket", "redis+socket"})


def scheme(url: Any) -> str:
    """The scheme of a URL without what makes it ours; "" of what is no URL."""
    return str(url).partition("://")[0].removeprefix("jobkit+") if isinstance(url, str) else ""


def store_url(jobs: JobKit) -> str:
    """Where the records are kept: `jobkit_backend`, else the result backend's Redis, else the broker's."""
    conf = jobs.app.conf
    for url in (jobs.settings.backend, conf.result_backend, conf.broker_write_url):
        if scheme(url) in REDIS:
            return str(url).removeprefix("jobkit+")
    raise InvalidOption(
        option="jobkit_backend",
        value=jobs.settings.backend,
        allowed="jobs are kept in Redis, and neither the result backend nor the broker is one: give its URL",
    )

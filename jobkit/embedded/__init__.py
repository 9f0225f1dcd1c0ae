"""A private Redis for first steps, demonstrations and tests.

::

    with EmbeddedRedis() as server:
        app = Celery("shop", broker=server.url, backend=server.url)

``python -m jobkit.embedded`` prints the URL of one and keeps it until Ctrl-C.
"""

from __future__ import annotations

from jobkit.embedded.programs import find_server
from jobkit.embedded.server import EmbeddedRedis

__all__ = ["EmbeddedRedis", "find_server"]

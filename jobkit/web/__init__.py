"""The Jobs pages inside Flower: what the store knows, also of jobs that Flower itself never heard of.

Everything of Flower and tornado stays behind `install`, so that importing this package costs nothing.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

__all__ = ["install"]

log = logging.getLogger(__name__)


def install(jobs: JobKit) -> bool:
    """Add the Jobs pages and their tab to the Flower of this process, before it starts.

    Parameters: `jobs`, the application's `JobKit`; an application that Flower is started for and that has one
    of its own (``app.jobkit``) shows that one.
    Returns: whether the pages are there. A second call changes nothing; a Flower that is missing, or built in a
    way jobkit does not know, is left alone, the latter with a warning.
    """
    if find_spec("flower") is None:
        return False
    from jobkit.web.hooks import UnknownFlower, attach

    try:
        attach(jobs)
    except UnknownFlower as error:
        log.warning("no Jobs pages: %s", error)
        return False
    return True

"""What Celery's clients read of a result is what Celery's own backend would say."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from celery.app.task import Context
from celery.backends.redis import RedisBackend

from jobkit import JobKit


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "PROGRESS"])
@pytest.mark.parametrize("kin", [{}, {"group": "g", "parent_id": "p"}])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_the_facts_of_a_result_are_those_of_celerys_own_backend(
    jobs: JobKit, extended: bool, state: str, kin: dict[str, str], zone: str
) -> None:
    jobs.app.conf.timezone = zone
    jobs.app.conf.result_extended = extended
    backend = jobs.app.backend
    request = Context(task="shop.add", args=(1, 2), hostname="here", delivery_info={"routing_key": "q"}, **kin)
    ours = backend._get_result_meta(3, state, None, request)
    theirs = RedisBackend._get_result_meta(backend, 3, state, None, request)
    assert list(ours) == list(theirs)
    assert (ours["date_done"] or "")[26:] == (theirs["date_done"] or "")[26:]
    done, before = theirs.pop("date_done"), ours.pop("date_done")
    assert done == before is None or timedelta() <= datetime.fromisoformat(done) - datetime.fromisoformat(before)
    assert ours == theirs

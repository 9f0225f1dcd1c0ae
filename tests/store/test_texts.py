"""Odd texts come back as they were, or are refused; none of them leaves its place."""

from __future__ import annotations

import json

import pytest

from jobkit.errors import InvalidOption, JobkitError
from jobkit.model import Failure
from jobkit.states import Outcome, State
from jobkit.store import End
from tests.store.world import World, holder, plan, reader

ODD = {
    "tabs": "a\tb\tc",
    "line ends": "a\nb\r\nc\x0bd\x1ce\u2028f",
    "nul": "a\0b",
    "four bytes": "\U0001f4a5\U00010348",
    "brackets": "]] --[[ {jobkit}:job:x }{",
    "glob": "*?[a-z]",
    "escapes": "\\n\\0\"'",
    "rtl": "\u202eabc",
    "long": "x" * 9000,
    "half a character": "caf\udce9",
    "lua": '"); redis.call("FLUSHALL") --',
    "redis": "\r\n*1\r\n$8\r\nFLUSHALL\r\n",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_texts_come_back_or_are_refused(world: World, name: str) -> None:
    """Wherever a user's text may go, it comes back, or a jobkit error says no; and no key lies elsewhere."""
    odd = ODD[name]
    written = odd.encode("utf-8", "backslashreplace").decode()
    try:
        world.submit(owner=odd, tags=(odd,), facts={"args": odd, "kwargs": odd})
    except JobkitError:
        assert "\n" in odd
        world.submit(owner=odd, tags=("tag",), facts={"args": odd, "kwargs": odd})
    world.claim()
    world.store.log("j", holder(), 1, "INFO", odd)
    world.store.write("j", holder(), {"progress": json.dumps([1, 2, odd]), "checkpoint": json.dumps(odd)})
    failure = Failure("OddError", odd, odd)
    world.store.finish("j", holder(), End(("fail",), Outcome.FAILED, odd, failure), odd)
    job, (step,) = reader(world).get("j"), reader(world).history("j")[2:]
    assert (job.owner, job.args, job.kwargs, job.message) == (written,) * 4
    assert (job.failure, job.progress and job.progress.message) == (failure, odd)
    assert step.reason.replace(" ", "") == "".join(c for c in written if c >= " " and c != "\x7f")[:500].replace(
        " ", ""
    )
    assert len(reader(world).log("j")) == 1
    found = reader(world).query(owner=written, tag="\n".join(job.tags) if len(job.tags) == 1 else None)
    assert [job.id for job in found.jobs] == ["j"]
    world.check()


@pytest.mark.parametrize("job_id", [odd for odd in ODD.values() if odd.isprintable() and len(odd) <= 255])
def test_odd_ids_come_back(world: World, job_id: str) -> None:
    world.submit(job_id)
    world.submit("behind", after=job_id)
    world.claim(job_id)
    world.store.finish(job_id, holder(), End(("finish",), Outcome.SUCCEEDED))
    assert [step.target for step in reader(world).history(job_id)] == [State.QUEUED, State.RUNNING, State.FINISHED]
    assert reader(world).history("behind")[-1].reason == f"job {job_id} has ended"
    assert {job.id for page in [reader(world).query()] for job in page.jobs} == {job_id, "behind"}
    assert world.store.take("keeper")
    world.check()


@pytest.mark.parametrize("name", ODD)
def test_odd_names_of_workers_and_clients(world: World, name: str) -> None:
    world.store.create(plan(), ODD[name], ODD[name])
    world.store.claim("j", 1, "tok1", ODD[name].replace("|", ""), 7, redelivered=False, plan=plan())
    assert len(reader(world).history("j")) == 2
    world.check()


@pytest.mark.parametrize("job_id", ["", "x" * 256, "a\tb", "a\nb", "a\0b", "\ud800"])
def test_an_id_that_cannot_be_one_is_refused(world: World, job_id: str) -> None:
    before = world.picture()
    with pytest.raises(InvalidOption, match="job_id="):
        reader(world).get(job_id)
    with pytest.raises(InvalidOption, match="job_id="):
        world.submit(job_id)
    assert world.picture() == before

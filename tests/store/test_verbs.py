"""Every verb in every state, on a real Redis: legal pairs move, all others change not one byte."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobkit.errors import Fenced, IllegalTransition
from jobkit.states import VERBS, Category, Outcome, State, states
from jobkit.store import End, Settled
from tests.store.checks import ACTIVE, ENDED, RESTARTED
from tests.store.world import MESSAGE, NOW, World, holder

PAIRS = [(verb, state) for verb in VERBS for state in State]
LATER = NOW + 3_600_000

#: The public verb behind each row that has one by now; a claim that is refused is None.
Route = Callable[[World], object]


def _refused_claim(world: World) -> str | None:
    code = world.claim(run=2, token="claimed").code
    return code if code == "ok" else None


def _end(verb: str, by: Settled) -> Route:
    return lambda world: world.store.finish("j", by, End((verb,), Outcome.STOPPED))


def _asks(verb: str) -> Route:
    return lambda world: world.store.ask("j", verb, "client")


MANAGER = Settled(None, "", "manager|")
ROUTES: dict[str, Route] = {
    "enqueue": lambda world: world.store.change_start("j", None, "client"),
    "change_start": lambda world: world.store.change_start("j", LATER, "client"),
    "await_predecessor": lambda world: world.store.change_start("j", None, "client"),
    "suspend": lambda world: world.store.suspend("j", "client"),
    **{name: _asks(name) for name in ("cancel", "request_pause", "time_over", "request_shutdown")},
    "remove": lambda world: world.store.remove("j", "client"),
    "claim": _refused_claim,
    **{name: _end(name, MANAGER) for name, verb in VERBS.items() if verb.target in ENDED and verb.sources},
}
del ROUTES["replace"]  # its public verb is a submission: see below


@pytest.mark.parametrize(("verb", "state"), PAIRS)
def test_by_the_row_of_the_table(world: World, verb: str, state: State) -> None:
    world.put(state)
    before = world.picture()
    code, now, run, *blocked = world.walk(verb)
    if state in VERBS[verb].sources:
        assert (code, now, run) == ("ok", VERBS[verb].target, "2")
        moved(world, state, VERBS[verb].target, op="walked", by="tester", reason="because")
    else:
        assert (code, now, run, blocked) == ("refused", state, "2", [VERBS[verb].target])
        assert world.picture() == before


@pytest.mark.parametrize(("verb", "state"), [pair for pair in PAIRS if pair[0] in ROUTES])
def test_by_the_public_verb(world: World, verb: str, state: State) -> None:
    world.put(state)
    if verb == "await_predecessor":
        world.put(State.RUNNING, "before", 1)
        world.client.hset(world.keys.job("j"), "after", "before")
    before = world.picture()
    if state in VERBS[verb].sources:
        assert ROUTES[verb](world)
        moved(world, state, VERBS[verb].target)
        return
    if verb == "claim":
        assert ROUTES[verb](world) is None
    else:
        with pytest.raises(IllegalTransition) as caught:
            ROUTES[verb](world)
        assert (caught.value.job, caught.value.source, caught.value.target) == ("j", state, VERBS[verb].target)
    assert world.picture() == before


def moved(world: World, source: State, target: State, **line: str) -> None:
    """Record, index and path have gone from source to target, together."""
    record, path = world.record(), world.path()
    assert [record[name] for name in ("state", "run", "seq", "since")] == [target, "2", "5", str(NOW)]
    assert world.indexed() == {target: NOW}
    assert len(path) == 2
    assert path[0][2] == source
    assert path[1][:4] == ["5", "2", target, str(NOW)]
    operation, by, reason = path[1][4:]
    assert operation
    assert by
    assert {"op": operation, "by": by, "reason": reason}.items() >= line.items()


@pytest.mark.parametrize("verb", VERBS)
def test_only_births_apply_to_a_job_that_is_not_there(world: World, verb: str) -> None:
    before = world.picture()
    code, state, *_ = world.walk(verb)
    if VERBS[verb].sources:
        assert (code, state) == ("refused", "")
        assert world.picture() == before
    else:
        assert (code, state) == ("ok", VERBS[verb].target)
        assert world.indexed() == {VERBS[verb].target: NOW}


@pytest.mark.parametrize("state", states(Category.WAITING_TO_START))
def test_a_job_whose_time_has_come_is_queued_from_the_due_index(world: World, state: State) -> None:
    world.put(state)
    world.client.zadd(world.keys.key("due"), {"j": NOW})
    _, owed = world.store.take("keeper")
    assert owed == [("j", 2, MESSAGE)]
    moved(world, state, State.QUEUED, by="keeper", reason="its start time has come")


@pytest.mark.parametrize("state", sorted(set(State) - set(states(Category.WAITING_TO_START))))
def test_the_due_index_alone_moves_nobody(world: World, state: State) -> None:
    world.put(state)
    before = world.picture()
    world.client.zadd(world.keys.key("due"), {"j": NOW})
    assert world.store.take("keeper")[1] == []
    assert world.picture() == before


# -- submitting an id that is there already ------------------------------------------------------------------------

_UNSTARTED = VERBS["replace"].sources
_OVER = (*ENDED, *RESTARTED)


@pytest.mark.parametrize("state", sorted(State))
def test_submitting_a_known_id(world: World, state: State) -> None:
    world.put(state)
    before, record = world.indexes(), world.record()
    verdict = world.submit()
    if state in _UNSTARTED:
        assert (verdict.code, verdict.run, world.states()) == ("ok", 3, [state, "REPLACED", "QUEUED"])
    elif state in _OVER:
        assert (verdict.code, verdict.run, world.states()) == ("ok", 3, [state, "QUEUED"])
        assert not world.holds("ended")
        assert world.client.pttl(world.keys.job("j")) == -1
    else:
        assert (verdict.code, verdict.run, verdict.state) == ("next", 2, state)
        assert world.record().keys() - record.keys() == {"next"}
        assert record.items() <= world.record().items()
        assert world.indexes() == before
    if verdict.code == "ok":
        assert world.indexed() == {State.QUEUED: NOW}


# -- who may end a run ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(ACTIVE))
@pytest.mark.parametrize(
    "stranger",
    [
        holder(1, "tok1", "w2@host|boot2"),
        holder(3, "tok2"),
        holder(2, "other", "w1@host|boot2"),
        holder(2, "other", "w2@host|boot1"),
        Settled(2, "", ""),
    ],
    ids=["run before", "run after", "other boot", "other worker", "nobody"],
)
def test_a_stranger_is_fenced(world: World, state: State, stranger: Settled) -> None:
    world.put(state)
    before = world.picture()
    for write in (
        lambda: world.store.finish("j", stranger, End(("fail",), Outcome.FAILED)),
        lambda: world.store.write("j", stranger, {"progress": '[1, 2, ""]'}),
        lambda: world.store.log("j", stranger, 1, "INFO", "late"),
    ):
        with pytest.raises(Fenced) as caught:
            write()
        assert caught.value.job_id == "j"
    assert world.picture() == before


@pytest.mark.parametrize("state", sorted(set(State) - ACTIVE))
def test_fields_are_written_only_while_it_runs(world: World, state: State) -> None:
    world.put(state)
    world.client.hset(world.keys.job("j"), mapping={"token": "tok2", "worker": holder().worker})
    before = world.picture()
    with pytest.raises(Fenced):
        world.store.write("j", holder(2), {"progress": '[1, 2, ""]'})
    assert world.picture() == before

"""Every script sent twice: what was done once is not done again, whatever got lost in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from jobkit.definitions import Definition
from jobkit.locks import Lock, Rate
from jobkit.states import Outcome, State
from jobkit.store import (
    End,
    JobStore,
    Put,
    Verdict,
    blocks,
    bulk,
    coalescing,
    definitions,
    families,
    history,
    locks,
    messages,
    priorities,
    queries,
    workers,
)
from jobkit.store.definitions import Change, Step
from jobkit.store.scripts import NAMES
from tests.store.proxy import proxied
from tests.store.world import NOW, WORKER, World, holder, plan

DONE = End(("finish",), Outcome.SUCCEEDED, "well done", meta='{"status": "SUCCESS"}')
HERE = End(("finish",), Outcome.SUCCEEDED, here=True)
FAILED = End(("fail",), Outcome.FAILED, "no luck")
Act = Callable[[JobStore], Any]
Setup = Callable[[World], Any]


def nothing(world: World) -> None:
    pass


def submitted(world: World) -> None:
    world.submit()


def reserved(world: World) -> None:
    submitted(world)
    world.client.sadd(world.keys.key("held", "w1@host|boot1"), "j")


def running(world: World) -> None:
    world.submit()
    world.claim()


def retrying(world: World) -> None:
    """A run that fails is followed by the next one, and another job waits for it."""
    running(world)
    world.submit(facts={"retries": 1})
    world.submit("behind", after="j")


def untold(world: World) -> None:
    """A run has ended, and its job was not told so yet."""
    running(world)
    world.store.finish("j", holder(), HERE)


def ended(world: World) -> None:
    running(world)
    world.submit("behind", after="j")
    world.store.finish("j", holder(), DONE)


def expired(world: World) -> None:
    ended(world)
    world.advance(DONE.keep)


def pinned(world: World) -> None:
    ended(world)
    world.store.pin("me", 60, ["j"])


def family(world: World) -> None:
    for job_id in ("j", "k"):
        world.submit(job_id, kin="g")
        world.claim(job_id)


def family_over(world: World) -> None:
    family(world)
    for job_id in ("j", "k"):
        world.store.finish(job_id, holder(), DONE)
    world.advance(DONE.keep)


def due(world: World) -> None:
    world.submit(start=NOW + 50)
    world.advance(50)


def both_due(world: World) -> None:
    world.submit("k", start=NOW + 50)
    due(world)
    world.store.take("keeper")


def claim(store: JobStore, run: int | None = 1, job_id: str = "j") -> Any:
    given = plan(job_id, facts={"queue": "celery"})
    return store.claim(job_id, run, "tok1", "w1@host|boot1", 7, redelivered=False, plan=given)


def limited(world: World) -> None:
    """A run that has had its time."""
    world.submit()
    world.store.claim("j", 1, "tok1", "w1@host|boot1", 7, redelivered=False, plan=plan(), run_time=1.0)
    world.advance(1_000)


def accused(world: World) -> None:
    """A message nobody seems to have."""
    submitted(world)
    messages.accuse(world.store, ["j"])
    world.advance(1_000)


def abandoned(world: World) -> None:
    """A run whose worker has not been heard of for longer than its lease."""
    running(world)
    workers.beat(world.store, "w1@host|boot1", 10)
    workers.beat(world.store, "w2@host|boot2", 60)
    world.advance(10_000)


def locked(world: World) -> None:
    """A job holds a lock; another waits for it."""
    for job_id in ("j", "k"):
        world.submit(job_id, locks=(Lock("a"), Lock("b")))


def locked_and_running(world: World) -> None:
    locked(world)
    world.claim()


def stale(world: World) -> None:
    """A worker holds what another tells the end of."""
    telling(world)
    world.store.client.hset(world.store.keys.job("j"), "hook", "1 tok3 w2@host|boot2")


def telling(world: World) -> None:
    """A run has ended, and its process tells the job so."""
    running(world)
    world.store.finish("j", holder(), HERE)
    world.store.tell("j", (1, "tok2", "w1@host|boot1"))


def opening(world: World) -> None:
    """A rate that let one through lets the next one through by now."""
    for job_id in ("j", "k"):
        world.submit(job_id, locks=(Rate("mail", 1, 60.0),))
    world.advance(60_000)


#: A definition with a slot and a backup, and its job.
DAILY = Definition("daily", "shop.pack", schedules=(60,), backup_every=30, version=1)  # type: ignore[arg-type]
JOB = DAILY.job_id


def define(store: JobStore) -> Any:
    return definitions.define(store, [Change(replace(DAILY, version=0), NOW, NOW, 30_000)], "client", "op9", 60.0)


def once(store: JobStore) -> Any:
    change = Change(replace(DAILY, version=0), NOW, NOW, 30_000)
    return definitions.once(store, change, daily(), "client", "why", "op9", 60.0)


def defined(world: World) -> None:
    define(world.store)


def daily(**options: Any) -> Any:
    return plan(JOB, tags=(JOB,), **options)


def queue(store: JobStore, within: float = 0.0, op: str = "op8") -> Any:
    return definitions.queue(store, "daily", JOB, daily(), "client", "why", op, within)


def submit(store: JobStore, **options: Any) -> Any:
    """Two that are alike."""
    given = [bulk.Entry(plan(name, **options), Put("q", "text"), "client", "op").alike() for name in ("m", "n")]
    rows = [one for one in given if one]
    return bulk.submit(store, rows[0][0], [row for _, row in rows], "op9")[0]


def tick(store: JobStore, overlap: str = "skip") -> Any:
    step = Step(NOW, NOW + 60_000, NOW + 61_000, "fire", overlap, 2)
    return definitions.tick(store, DAILY, JOB, step, daily(), "beat")


def keyed(store: JobStore, how: str, op: str = "op4") -> Any:
    return coalescing.coalesce(store, plan(), how, 5.0, 20.0, "client", "why", op)


def put_off(world: World) -> None:
    keyed(world.store, "debounce", "op3")


def throttled(world: World) -> None:
    keyed(world.store, "throttle", "op3")
    world.claim()
    world.store.finish("j", holder(), DONE)


def queued(world: World) -> None:
    defined(world)
    queue(world.store)


def waiting(world: World) -> None:
    defined(world)
    queue(world.store, 50.0, "op7")


def busy(world: World) -> None:
    queued(world)
    world.claim(JOB)


def marked(world: World) -> None:
    busy(world)
    queue(world.store, 0, "op5")


def concluded(world: World) -> None:
    """An execution that is older than it is kept."""
    busy(world)
    world.store.finish(JOB, holder(), DONE)
    history.keep(world.store, 1.0, 1_000_000)
    world.advance(1_001)


def lost(world: World) -> None:
    """Nothing has run it for so long that its backup is due."""
    defined(world)
    world.advance(30_000)


def alive(world: World) -> None:
    workers.beat(world.store, "w1@host|boot1", 10)


def to_be_held(world: World) -> None:
    """A job is queued on a host that is away."""
    world.submit(host="eu")
    world.store.run("block", "host eu", '["offline", "", "", 0, null]')


def blocked(world: World) -> None:
    """A job waits for a host that is away."""
    world.store.run("block", "host eu", '["offline", "", "", 0, null]')
    world.submit(host="eu")


def child() -> Any:
    return plan("a", up="j", upon="fail", fence="1 tok1", facts={"parent": "j"})


def spawned(world: World) -> None:
    """A job has a child."""
    running(world)
    world.store.create(child(), "client")


def waiting_for_it(world: World) -> None:
    spawned(world)
    world.store.finish("j", holder(), DONE)


def child_at_work(world: World) -> None:
    waiting_for_it(world)
    world.claim("a")


def told_to_end(world: World) -> None:
    """A job was told to end while its child waits in the queue."""
    spawned(world)
    world.store.ask("j", "cancel", "client")


def registered(world: World) -> None:
    """A job has two compensations."""
    running(world)
    for name in ("undo1", "undo2"):
        families.keep(world.store, "j", holder(), "rollback", plan(name))


def failed(world: World) -> None:
    registered(world)
    world.store.finish("j", holder(), FAILED)


def overlooked(world: World) -> None:
    waiting_for_it(world)
    world.advance(5_000)


def ranked(world: World) -> None:
    """A job has waited long at its level."""
    world.submit(facts={"level": 9})
    world.advance(60_000)


@dataclass(frozen=True)
class Case:
    """One script, what stands before it, the call, what a second call is answered with (its first word, if it has
    words), and how many ms later that comes."""

    script: str
    setup: Setup
    act: Act
    again: str = "again"
    later: int = 1


CASES = {
    "create": Case("create", nothing, lambda s: s.create(plan(owner="alice", tags=("a", "b")), "client")),
    "create, later": Case("create", nothing, lambda s: s.create(plan(start=NOW + 99_000), "client")),
    "create, suspended": Case("create", nothing, lambda s: s.create(plan(suspended=True), "client")),
    "create, behind another": Case("create", submitted, lambda s: s.create(plan("k", after="j"), "client")),
    "create, in place of one": Case("create", submitted, lambda s: s.create(plan(), "client")),
    "create, as the next run": Case("create", running, lambda s: s.create(plan(), "client"), "next"),
    "create, by the run itself": Case("create", running, lambda s: s.create(plan(token="tok1"), "w1"), "next"),
    "tell": Case("tell", untold, lambda s: s.tell("j", (1, "tok2", "w1@host|boot1"))),
    "create, after the end": Case("create", ended, lambda s: s.create(plan(), "client")),
    "create, with a lock": Case("create", nothing, lambda s: s.create(plan(locks=(Lock("a"),)), "client")),
    "create, behind a lock": Case("create", locked, lambda s: s.create(plan("m", locks=(Lock("b"),)), "client")),
    "create, in place of one with a lock": Case("create", locked, lambda s: s.create(plan(), "client")),
    "discard one with a lock": Case(
        "discard",
        lambda w: (w.submit(op="op1", locks=(Lock("a"),)), w.submit("k", locks=(Lock("a"),))),
        lambda s: s.discard("j", "op1", 1),
        "missing",
    ),
    "suspend one with a lock": Case("suspend", locked, lambda s: s.suspend("j", "client")),
    "remove one with a lock": Case("remove", locked, lambda s: s.remove("j", "client")),
    "change_start of one with a lock": Case(
        "change_start", locked, lambda s: s.change_start("j", NOW + 99_000, "client")
    ),
    "finish one with a lock": Case("finish", locked_and_running, lambda s: s.finish("j", holder(), DONE)),
    "block": Case("block", alive, lambda s: s.run("block", "host eu", "[]")),
    "hold": Case("hold", to_be_held, lambda s: s.run("hold", "op", "by", "host eu", "QUEUED", 0, 9), ""),
    "create, behind a block": Case("create", blocked, lambda s: s.create(plan("m", host="eu"), "client")),
    "unblock": Case("unblock", blocked, lambda s: blocks.unblock(s, "host", "eu", "client"), "missing"),
    "claim one that is blocked": Case(
        "claim",
        to_be_held,
        lambda s: s.claim("j", 1, "tok1", "w1@host|boot1", 7, redelivered=False, plan=plan()),
        "stale",
    ),
    "suspend one that is blocked": Case("suspend", blocked, lambda s: s.suspend("j", "client")),
    "look": Case("look", submitted, lambda s: s.run("look", "due", "outbox"), ""),
    "reserve": Case(
        "reserve",
        submitted,
        lambda s: s.run("reserve", "w1@host|boot1", 9, 9, "", "unacked", "index", 1, 1, "j", "q"),
        "",
    ),
    "hand_back": Case(
        "hand_back",
        reserved,
        lambda s: workers.hand_back(s, "w1@host|boot1", "j", [("R", Put("q", "text"))]),
        "refused",
    ),
    "create, with its message": Case("create", nothing, lambda s: s.create(plan("m"), "client", put=Put("q", "text"))),
    "submit": Case("submit", nothing, lambda s: submit(s), "QUEUED"),
    "submit, in a group": Case("submit", nothing, lambda s: submit(s, kin="g"), "QUEUED"),
    "disown": Case("disown", stale, lambda s: workers.disown(s, "w1@host|boot1", "j"), "ok"),
    "told": Case("told", telling, lambda s: s.told("j", (1, "tok2", "w1@host|boot1"))),
    "told, by another": Case("told", untold, lambda s: s.told("j", (1, "", "w1@host|boot1"), untold=True), "ok"),
    "told, and to run again": Case("told", telling, lambda s: s.told("j", (1, "tok2", "w1@host|boot1"), again=0.0)),
    "create, as a child": Case("create", running, lambda s: s.create(child(), "client")),
    "create, as a child once more": Case("create", spawned, lambda s: s.create(child(), "client"), "adopted"),
    "claim a child": Case("claim", waiting_for_it, lambda s: claim(s, job_id="a")),
    "claim a child whose parent was told to end": Case(
        "claim", told_to_end, lambda s: claim(s, job_id="a"), "removing"
    ),
    "finish before its children": Case("finish", spawned, lambda s: s.finish("j", holder(), DONE)),
    "finish the last child": Case("finish", child_at_work, lambda s: s.finish("a", holder(), DONE)),
    "finish, what undoes it comes first": Case("finish", registered, lambda s: s.finish("j", holder(), FAILED)),
    "ask a parent that waits": Case("ask", waiting_for_it, lambda s: s.ask("j", "cancel", "client")),
    "remove a child": Case("remove", waiting_for_it, lambda s: s.remove("a", "client")),
    "keep": Case("keep", running, lambda s: families.keep(s, "j", holder(), "rollback", plan("undo"))),
    "keep a continuation": Case("keep", running, lambda s: families.keep(s, "j", holder(), "then", plan("next"))),
    "settle": Case("settle", failed, lambda s: families.settle(s, "j", "settler", bad=True), "wait"),
    "settle with nothing left": Case(
        "settle", submitted, lambda s: families.settle(s, "j", "settler", bad=True), "wait"
    ),
    "unsettled": Case("unsettled", overlooked, lambda s: families.unsettled(s), ""),
    "learn": Case("learn", ended, lambda s: priorities.learn(s), ""),
    "aged": Case("aged", ranked, lambda s: priorities.waiting(s, 60), "j"),
    "raise": Case("raise", ranked, lambda s: priorities.lift(s, "j", 1, (9, 6), 6, "{}")),
    "grant": Case("grant", opening, lambda s: locks.grant(s, "keeper"), ""),
    "discard": Case("discard", lambda w: w.submit(op="op1"), lambda s: s.discard("j", "op1", 1), "missing"),
    "suspend": Case("suspend", submitted, lambda s: s.suspend("j", "client")),
    "change_start": Case("change_start", submitted, lambda s: s.change_start("j", NOW + 99_000, "client")),
    "change_start to now": Case(
        "change_start", lambda w: w.submit(start=NOW + 99_000), lambda s: s.change_start("j", None, "client")
    ),
    "remove": Case("remove", submitted, lambda s: s.remove("j", "client")),
    "remove, before it is due": Case(
        "remove", lambda w: w.submit(start=NOW + 99_000), lambda s: s.remove("j", "client")
    ),
    "claim": Case("claim", submitted, claim),
    "claim without a record": Case("claim", nothing, lambda s: claim(s, None)),
    "finish": Case("finish", running, lambda s: s.finish("j", holder(), DONE)),
    "finish before the next run": Case("finish", retrying, lambda s: s.finish("j", holder(), FAILED)),
    "finish to run again": Case(
        "finish", running, lambda s: s.finish("j", holder(), End(("abort",), Outcome.FAILED, again=True))
    ),
    "finish without a record": Case(
        "finish",
        nothing,
        lambda s: s.finish("j", holder(None), End(("fail",), Outcome.FAILED, born=("submit", "claim", "fail"))),
    ),
    "write": Case("write", running, lambda s: s.write("j", holder(), {"progress": "[1, 2, null]"}), "ok"),
    "log": Case("log", running, lambda s: s.log("j", holder(), 1, "INFO", "half way")),
    "take": Case("take", due, lambda s: s.take("keeper"), ""),
    "published": Case("published", both_due, lambda s: s.published(["j", "k"]), ""),
    "prune": Case("prune", expired, lambda s: s.prune(), ""),
    "pin": Case("pin", ended, lambda s: s.pin("me", 60, ["j"]), "", 0),
    "pin a live one": Case("pin", running, lambda s: s.pin("me", 60, ["j"]), "", 0),
    "unpin": Case("unpin", pinned, lambda s: s.unpin("me", ["j"]), ""),
    "let_go": Case("let_go", family_over, lambda s: s.let_go(), ""),
    "create, of a family": Case("create", ended, lambda s: s.create(plan("k", kin="j"), "client")),
    "finish, of a family": Case("finish", family, lambda s: s.finish("j", holder(), DONE)),
    "forget": Case("forget", ended, lambda s: s.forget("j"), "missing"),
    "forget a live one's result": Case("forget", running, lambda s: s.forget("j"), "ok"),
    "ask": Case("ask", running, lambda s: s.ask("j", "cancel", "client")),
    "overdue": Case("overdue", limited, lambda s: workers.overdue(s, 9, 5.0), ""),
    "beat": Case("beat", nothing, lambda s: workers.beat(s, "w1@host|boot1", 10), "", 0),
    "rescue": Case("rescue", abandoned, lambda s: workers.rescue(s, "w2@host|boot2", 9), "j"),
    "rebase": Case("rebase", abandoned, lambda s: workers.rebase(s, 10), "", 0),
    "rebase, with a deadline": Case("rebase", limited, lambda s: workers.rebase(s, 10, WORKER, 3600.0), "", 0),
    "read": Case("read", ended, lambda s: s.read("j"), "ok", 0),
    "query": Case("query", ended, lambda s: queries.page(s, task="shop.pack"), ""),
    "scan": Case("scan", submitted, lambda s: messages.scan(s, State.QUEUED, 0, 9, 0.0), ""),
    "accuse": Case("accuse", submitted, lambda s: messages.accuse(s, ["j"]), ""),
    "trim": Case("trim", concluded, lambda s: history.trim(s), "", 0),
    "coalesce": Case("coalesce", nothing, lambda s: keyed(s, "replace")),
    "coalesce with one that waits": Case("coalesce", put_off, lambda s: keyed(s, "debounce")),
    "coalesce with one that runs": Case("coalesce", running, lambda s: keyed(s, "replace")),
    "coalesce, not yet": Case("coalesce", throttled, lambda s: keyed(s, "throttle")),
    "coalesce, dropped": Case("coalesce", submitted, lambda s: keyed(s, "drop"), "refused"),
    "define": Case("define", nothing, define),
    "define once more": Case(
        "define", defined, lambda s: definitions.define(s, [Change(DAILY, "keep", "keep", "keep")], "client", "op6")
    ),
    "once": Case("once", nothing, once),
    "undefine": Case("undefine", defined, lambda s: definitions.undefine(s, ("daily", 1)), ""),
    "queue": Case("queue", defined, queue),
    "queue one that is queued": Case("queue", queued, lambda s: queue(s, 0, "op5"), "joined"),
    "queue one that runs": Case("queue", busy, lambda s: queue(s, 0, "op5")),
    "queue one that waits": Case("queue", waiting, queue),
    "due": Case("due", defined, lambda s: definitions.due(s, 9, print), "", 0),
    "tick": Case("tick", defined, tick),
    "tick while it runs": Case("tick", busy, tick),
    "tick to run it after": Case("tick", busy, lambda s: tick(s, "buffer")),
    "tick to run it instead": Case("tick", busy, lambda s: tick(s, "cancel")),
    "tick that waits": Case("tick", busy, lambda s: tick(s, "wait"), "busy", 0),
    "insure": Case("insure", lost, lambda s: definitions.insure(s, DAILY, NOW + 30_000, daily(), "beat"), "stale"),
    "claim of a definition": Case("claim", queued, lambda s: claim(s, job_id=JOB)),
    "finish of a definition": Case("finish", busy, lambda s: s.finish(JOB, holder(), DONE)),
    "finish of one that was queued meanwhile": Case("finish", marked, lambda s: s.finish(JOB, holder(), FAILED)),
    "convict": Case("convict", accused, lambda s: messages.convict(s, 1.0, 9), ""),
}


def test_no_script_is_forgotten_here() -> None:
    assert {case.script for case in CASES.values()} == set(NAMES)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Every call of a script, as it went out."""
    calls: list[tuple[Any, ...]] = []
    run = JobStore.run

    def recording(store: JobStore, *args: Any, **options: Any) -> Any:
        calls.append(args)
        return run(store, *args, **options)

    monkeypatch.setattr(JobStore, "run", recording)
    return calls


def code(reply: Any) -> str:
    """The code of an answer, "" for one that has none."""
    first = reply[0] if isinstance(reply, list) and reply else b""
    return first.decode() if isinstance(first, bytes) else ""


@pytest.mark.parametrize("name", CASES)
def test_sent_twice_it_is_applied_once(world: World, sent: list[tuple[Any, ...]], name: str) -> None:
    case = CASES[name]
    case.setup(world)
    case.act(world.store)
    call, after = sent[-1], world.picture()
    world.check()
    world.client.script_flush()
    world.advance(case.later)
    assert code(world.store.run(*call)) == case.again
    world.advance(-case.later)
    assert world.picture() == after


@pytest.mark.parametrize("name", CASES)
def test_an_answer_that_is_lost_does_not_do_it_twice(world: World, url: str, name: str) -> None:
    case, twin = CASES[name], World(world.client, "twin")
    case.setup(world)
    case.act(world.store)
    case.setup(twin)
    with proxied(url) as (proxy, client):
        proxy.lose = 1
        case.act(JobStore(client, "twin", patience=5, test_clock=True))
        assert (proxy.lose, proxy.lost) == (0, 1)
    assert twin.story() == world.story()


def test_scripts_are_loaded_again_wherever_redis_lost_them(world: World) -> None:
    for act in (submitted, lambda w: w.claim(), lambda w: w.store.finish("j", holder(), DONE)):
        world.client.script_flush()
        act(world)
    assert world.states() == ["QUEUED", "RUNNING", "FINISHED"]


# -- replays that come late ----------------------------------------------------------------------------------------


def test_an_old_claim_is_not_applied_to_the_next_run(world: World) -> None:
    retrying(world)
    world.store.finish("j", holder(), FAILED)
    assert world.record()["state"] == "QUEUED"
    before = world.picture()
    assert claim(world.store).code == "stale"
    assert world.picture() == before


def test_an_old_claim_by_a_message_without_a_run_is_not_applied_to_the_next_run(world: World) -> None:
    claim(world.store, None)
    world.submit()
    world.store.finish("j", holder(), FAILED)
    assert world.record()["state"] == "QUEUED"
    before = world.picture()
    assert claim(world.store, None).code == "stale"
    assert world.picture() == before


def test_an_old_claim_by_a_message_without_a_run_does_not_begin_an_ended_job_anew(world: World) -> None:
    claim(world.store, None)
    world.store.finish("j", holder(), DONE)
    before = world.picture()
    assert claim(world.store, None).code == "stale"
    assert world.picture() == before


def test_an_old_submission_is_not_applied_to_a_job_that_has_gone_on(world: World) -> None:
    world.submit(op="op1")
    world.claim()
    world.store.finish("j", holder(), DONE)
    before = world.picture()
    assert world.submit(op="op1").code == "again"
    assert world.picture() == before


def test_an_old_submission_of_a_next_run_makes_no_further_run(world: World) -> None:
    running(world)
    assert world.submit(op="op2").code == "next"
    world.store.finish("j", holder(), FAILED)
    world.claim(run=2)
    before = world.picture()
    assert world.submit(op="op2").code == "again"
    assert world.picture() == before


def test_an_old_end_does_not_end_the_next_run(world: World) -> None:
    retrying(world)
    first = world.store.finish("j", holder(), FAILED, op="op3")
    world.claim(run=2)
    before = world.picture()
    again = world.store.finish("j", holder(), FAILED, op="op3")
    assert (again.code, again.state, again.run) == ("again", first.state, first.run) == ("again", "ERROR_RETRY", 1)
    assert world.picture() == before


@pytest.mark.parametrize("verb", ["suspend", "remove", "change_start"])
def test_an_old_wish_is_not_granted_to_the_next_run(world: World, verb: str) -> None:
    def wish() -> Verdict:
        if verb == "change_start":
            return world.store.change_start("j", NOW + 99_000, "client", op="op4")
        return getattr(world.store, verb)("j", "client", op="op4")

    submitted(world)
    wish()
    if verb == "remove":
        world.store.finish("j", holder(None), End(("confirm_removal",), Outcome.REMOVED))
    world.submit()
    assert world.record()["state"] == "QUEUED"
    before = world.picture()
    assert wish().code == "again"
    assert world.picture() == before


def test_an_old_log_line_is_not_kept_twice(world: World) -> None:
    running(world)
    for number in (1, 2):
        world.store.log("j", holder(), number, "INFO", f"line {number}")
    before = world.picture()
    assert world.store.log("j", holder(), 1, "INFO", "line 1").code == "again"
    assert world.picture() == before


def test_what_was_handed_out_and_lost_is_handed_out_again_after_the_lease(world: World) -> None:
    due(world)
    assert len(world.store.take("keeper")[1]) == 1
    assert world.store.take("keeper")[1] == []
    world.advance(5_000)
    assert [job_id for job_id, _, _ in world.store.take("keeper")[1]] == ["j"]
    assert world.states() == ["WAITING_FOR_START", "QUEUED"]

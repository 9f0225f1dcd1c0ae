"""The verbs on blocks: what is held back, and letting it go again in order."""

from __future__ import annotations

import json
from typing import Any

from jobkit.errors import InvalidOption
from jobkit.model import Block
from jobkit.states import Category, State, states
from jobkit.store.graph import PUBLISH_LEASE
from jobkit.store.jobs import JobStore
from jobkit.store.records import when
from jobkit.store.values import Verdict, clean, operation

#: What can be held back.
KINDS = ("host", "task", "queue", "owner", "definition")
#: Jobs one call looks at, or lets go.
BATCH = 50
#: What no block is known by: only one that is being lifted is lifted on.
LIFTING = "-"
#: Where a run may be taken from; who has no planned start stays where he is.
_FROM = tuple(
    s for s in (*states(Category.WAITING_TO_START), State.QUEUED) if s not in (State.HOST_BLOCKED, State.SUSPENDED)
)


def block(store: JobStore, kind: str, name: str, state: str, reason: str, until: int | None, by: str) -> None:
    """Hold back all jobs of this kind and name, those that wait already included.  Raises: `InvalidOption`."""
    full = _full(kind, name)
    since = _now(store)
    text = json.dumps([state, clean(reason), clean(by), since, until])
    store.run("block", full, text)
    for source in _FROM:
        rank = 0
        while rank >= 0:
            rank, _ = store.run("hold", operation(), clean(by), full, source.value, rank, BATCH)


def unblock(store: JobStore, kind: str, name: str, by: str, text: str = "") -> Verdict | None:
    """Lift a block and let the first of its jobs go, in order; `run` of the answer says how many are still behind it.

    Returns: None where there is no such block (`text`: none that is still this one).
    """
    code, _, left, *rest = store.run("unblock", operation(), clean(by), _full(kind, name), BATCH, text)
    if code == b"missing":
        return None
    ids, runs, messages = rest[::3], rest[1::3], rest[2::3]
    go = tuple((i.decode(), int(n), m.decode()) for i, n, m in zip(ids, runs, messages, strict=True))
    return Verdict("ok", "", int(left), go)


def listing(store: JobStore) -> tuple[Block, ...]:
    """Everything that is blocked, by kind and name."""
    return tuple(_block(store, full, text) for full, text in _texts(store) if not text.startswith("~"))


def over(store: JobStore) -> list[tuple[str, str, str]]:
    """Blocks whose time is over, and those that were being lifted by somebody who did not finish: kind, name, text."""
    ends = [(*_parts(full), text, _end(text)) for full, text in _texts(store)]
    timed = [(kind, name, text, end) for kind, name, text, end in ends if end is not None]
    now = _now(store) if timed else 0
    return [(kind, name, text) for kind, name, text, end in timed if end <= now]


def _end(text: str) -> int | None:
    # Who lifts one and has not gone on for so long will not.
    if text.startswith("~"):
        return int(text[1:]) + PUBLISH_LEASE
    until: int | None = json.loads(text)[4]
    return until


def _texts(store: JobStore) -> list[tuple[str, str]]:
    found: Any = store.call(lambda: store.client.hgetall(store.keys.key("blocks")))
    return sorted((full.decode(), text.decode()) for full, text in found.items())


def _block(store: JobStore, full: str, text: str) -> Block:
    state, reason, by, since, until = json.loads(text)
    waiting: Any = store.call(lambda: store.client.zcard(store.keys.key("blocked", full)))
    kind, name = _parts(full)
    return Block(kind, name, state, reason, by, when(str(since)), when(str(until)) if until else None, waiting)


def _parts(full: str) -> tuple[str, str]:
    kind, _, name = full.partition(" ")
    return kind, name


def _full(kind: str, name: str) -> str:
    if kind not in KINDS:
        raise InvalidOption(option="block", value=kind, allowed=f"must be one of {', '.join(KINDS)}")
    if not name or len(name) > 255 or not name.isprintable():
        raise InvalidOption(option=kind, value=name, allowed="must be 1 to 255 printable characters")
    return f"{kind} {name}"


def _now(store: JobStore) -> int:
    seconds, micro = store.call(lambda: store.client.time())
    return int(seconds) * 1000 + int(micro) // 1000

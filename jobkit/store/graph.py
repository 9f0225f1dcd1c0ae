"""The rows of the graph as the scripts read them: no script knows a state by name."""

from __future__ import annotations

from functools import cache

from jobkit.states import RESTART_OF, VERBS, Category, State, states, steps

#: Where a run can stand before it is queued: the verb that begins one there, and the verb that moves one there.
PLACES = {
    "queue": ("submit", "enqueue"),
    "later": ("submit_later", "change_start"),
    "behind": ("submit_after", "await_predecessor"),
    "lock": ("submit_locked", "await_lock"),
    "block": ("submit_blocked", "block"),
}
#: Milliseconds in which who was handed a message to publish has to do so, before another is.
PUBLISH_LEASE = 5_000

#: The states of a run that is over, of one at work, and of one that may start.
OVER = ",".join(states(Category.ENDED, Category.RESTARTED))
ACTIVE = ",".join(states(Category.RUNNING))
READY = ",".join(states(Category.WAITING_TO_RUN))
#: How a run begins: of a job that is queued, and wherever else it may.
BIRTH = steps("submit")
BIRTHS = steps("submit", "submit_later", "submit_after", "submit_suspended")
#: How a run that is over is followed by another.
RESTART = ";".join(f"?{state}>{steps(verb).partition('>')[2]}" for state, verb in RESTART_OF.items())
#: How the successors of a job go on once it is over: now, or when they are due.
RELEASE, RELEASE_LATER = (
    f"{State.WAITING_FOR_PREDECESSOR}>{steps(verb).partition('>')[2]}" for verb in ("enqueue", "change_start")
)

_ROWS = {
    "OVER": OVER,
    "BIRTH": BIRTH,
    "BIRTHS": BIRTHS,
    "CLAIM": steps("claim"),
    "REMOVAL": steps("confirm_removal"),
    "RESTART": RESTART,
    "RELEASE": RELEASE,
    "RELEASE_LATER": RELEASE_LATER,
    "PUBLISH_LEASE": str(PUBLISH_LEASE),
}


@cache
def lua_graph() -> str:
    """The rows that scripts of every job use; and a Lua function that makes a table of those that few jobs need."""
    births = {f"birth_{place}": steps(birth) for place, (birth, _) in PLACES.items()}
    moves = {f"move_{place}": steps(move) for place, (_, move) in PLACES.items()}
    rows = births | moves | {
        "over": OVER,
        "claim": steps("claim"),
        "remove": steps("remove"),
        **{verb: steps(verb) for verb in ("await_children", "child_started", "child_stopped", "roll_back")},
        "well": State.FINISHED.value,
        "ends": ";".join(steps(name) for name, verb in VERBS.items() if verb.target.category is Category.ENDED),
        "busy": ",".join((*states(Category.RUNNING), State.CHILD_RUNNING, State.ROLLING_BACK)),
        "spawns": ",".join((State.RUNNING, State.SHUTDOWN_REQUEST, State.PAUSE_REQUEST)),
        "unwanted": State.CANCELLING_BY_USER.value,
        "stopping": ",".join((State.CANCELLING_BY_USER, State.CANCELLING_BY_SYSTEM, State.REMOVING)),
    }  # fmt: skip
    body = ", ".join(f'{name} = "{row}"' for name, row in rows.items())
    table = f"local function GRAPH() return {{{body}, lease = {PUBLISH_LEASE}}} end\n"
    return "".join(f'local {name} = "{row}"\n' for name, row in _ROWS.items()) + table

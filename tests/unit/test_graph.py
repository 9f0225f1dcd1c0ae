"""The table of states and verbs: complete, connected, without a way back, and printed as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from jobkit.drawing import document, markdown, mermaid
from jobkit.states import (
    ABOUT,
    RESTART_OF,
    VERBS,
    Actor,
    Category,
    FiveState,
    OracleState,
    State,
    Verb,
    WmiState,
    states,
    steps,
)

ROOT = Path(__file__).parents[2]

#: The contract, as the lifecycle's own table has it.
CONTRACT = {
    Category.WAITING_TO_START: "WAITING_FOR_START WAITING_FOR_PREDECESSOR WAITING_FOR_LOCK HOST_BLOCKED SUSPENDED",
    Category.WAITING_TO_RUN: "QUEUED REMOVING",
    Category.RUNNING: "RUNNING SHUTDOWN_REQUEST PAUSE_REQUEST CANCELLING_BY_SYSTEM CANCELLING_BY_USER",
    Category.WAITING_FOR_CHILDREN: "CHILD_QUEUED CHILD_RUNNING",
    Category.ROLLING_BACK: "ROLLING_BACK",
    Category.ENDED: "FINISHED REMOVED REPLACED CANCELLED TIMEOUT KILLED ERROR ABORTED SHUTDOWN_CONFIRMED",
    Category.RESTARTED: "RESCHEDULED SHUTDOWN_RESTART ABORTED_RESTART TIMEOUT_RETRY ERROR_RETRY",
}
ENDED, RESTARTED = states(Category.ENDED), states(Category.RESTARTED)
UNSTARTED = states(Category.WAITING_TO_START, Category.WAITING_TO_RUN)
EDGES = {(source, verb.target) for verb in VERBS.values() for source in verb.sources}


def reached(edges: Iterable[tuple[State, State]], *begin: State) -> set[State]:
    """Every state that can be reached along the edges."""
    found, edges = set(begin), set(edges)
    while more := {target for source, target in edges if source in found} - found:
        found |= more
    return found


@pytest.mark.parametrize("category", Category)
def test_every_state_of_the_contract_is_there_in_its_category(category: Category) -> None:
    assert states(category) == tuple(State(name) for name in CONTRACT[category].split())


def test_there_are_no_other_states() -> None:
    assert set(ABOUT) == set(State) == {State(name) for names in CONTRACT.values() for name in names.split()}


def test_names_and_values_are_the_same_word() -> None:
    assert all(state.name == state.value == str(state) for state in State)
    assert all(name == verb.name for name, verb in VERBS.items())


def test_every_state_is_reachable() -> None:
    assert reached(EDGES, *(verb.target for verb in VERBS.values() if not verb.sources)) == set(State)


@pytest.mark.parametrize("state", State)
def test_every_run_can_end(state: State) -> None:
    assert {*ENDED, *RESTARTED} & reached(EDGES, state)


def test_the_terminal_states_follow_from_the_table() -> None:
    assert set(State) - {source for source, _ in EDGES} == {State.REPLACED, *RESTARTED}


def test_only_a_restart_leaves_an_ended_state() -> None:
    for verb in VERBS.values():
        if set(verb.sources) & set(ENDED):
            assert set(verb.sources) <= set(ENDED)
            assert verb.target in RESTARTED


def test_a_restart_leaves_nothing_but_ended_states() -> None:
    assert all(set(verb.sources) <= set(ENDED) for verb in VERBS.values() if verb.target in RESTARTED)


def test_each_end_but_replaced_has_one_restart() -> None:
    assert set(RESTART_OF) == set(ENDED) - {State.REPLACED}
    assert len([1 for source, target in EDGES if target in RESTARTED]) == len(RESTART_OF)


def test_a_run_never_goes_back() -> None:
    order = list(Category)
    back = {(s, t) for s, t in EDGES if order.index(t.category) < order.index(s.category)}
    # A queued run is still the manager's, and a run of which only children run is asked to stop like a running one.
    assert {s for s, _ in back} == {State.QUEUED, State.CHILD_QUEUED, State.CHILD_RUNNING}
    assert {t for s, t in back if s is State.QUEUED} <= set(states(Category.WAITING_TO_START))
    assert {t for s, t in back if s is not State.QUEUED} == {State.CANCELLING_BY_USER, State.CANCELLING_BY_SYSTEM}


def test_up_to_queued_a_run_belongs_to_the_manager() -> None:
    workers = {
        verb.name for verb in VERBS.values() if verb.actor is Actor.WORKER and set(verb.sources) & set(UNSTARTED)
    }
    assert workers == {"claim", "confirm_removal", "roll_back"}


def test_others_can_only_ask_a_running_job_or_declare_it_aborted() -> None:
    targets = {verb.target for verb in VERBS.values() if verb.actor is Actor.MANAGER and State.RUNNING in verb.sources}
    assert targets == {State.PAUSE_REQUEST, State.CANCELLING_BY_USER, State.ABORTED}


def test_no_two_verbs_share_an_edge() -> None:
    edges = [(source, verb.target) for verb in VERBS.values() for source in verb.sources]
    assert len(edges) == len(set(edges))


def test_is_live_means_neither_ended_nor_restarted() -> None:
    assert {state for state in State if not state.is_live} == {*ENDED, *RESTARTED}


# -- the views ---------------------------------------------------------------------------------------------------


def test_celery_sees_every_one_of_its_states() -> None:
    seen = {about.celery for about in ABOUT.values()}
    assert seen == {"PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"}


def test_celery_sees_an_end_exactly_where_there_is_one() -> None:
    ready = {"SUCCESS", "FAILURE", "REVOKED"}
    assert {state for state, about in ABOUT.items() if about.celery in ready} == set(ENDED)


def test_oracle_sees_all_six() -> None:
    assert {about.oracle for about in ABOUT.values()} == set(OracleState)
    assert {about.value for about in OracleState} == {
        "Completed", "In Progress", "Aborted", "Failed", "Child Queued", "Child Running"
    }  # fmt: skip


def test_tfs_sees_all_five() -> None:
    assert {about.tfs for about in ABOUT.values()} == set(FiveState)
    assert len(FiveState) == 5


def test_wmi_numbers_are_those_of_cim() -> None:
    assert [int(number) for number in WmiState] == list(range(2, 13))
    # A service, and a query that is pending, are other kinds of jobs; no job of ours is ever one.
    assert {about.wmi for about in ABOUT.values()} == set(WmiState) - {WmiState.SERVICE, WmiState.QUERY_PENDING}


# -- what is printed of it -----------------------------------------------------------------------------------------


def test_steps_are_the_rows_of_a_walk() -> None:
    assert steps("claim") == "QUEUED>RUNNING"
    assert steps("submit", "?claim") == ">QUEUED;?QUEUED>RUNNING"


def test_an_unknown_verb_is_an_error() -> None:
    with pytest.raises(KeyError):
        steps("levitate")


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_the_diagram_and_the_table_have_every_edge(verb: Verb) -> None:
    for source in verb.sources or ("[*]",):
        assert f"    {source} --> {verb.target}: {verb.name}\n" in mermaid()
    assert re.search(rf"^\| {verb.name} \|.*\| {verb.target} \|", markdown(), re.MULTILINE)


@pytest.mark.parametrize("state", State)
def test_the_table_explains_every_state(state: State) -> None:
    assert f"| {state.category.value} | {state} | {ABOUT[state].meaning} |" in markdown()


def test_the_document_is_up_to_date() -> None:
    assert (ROOT / "docs" / "states.md").read_text("utf-8") == document(), "docs/states.md is out of date: make docs"


def test_no_script_knows_a_state_by_name() -> None:
    for script in (ROOT / "jobkit" / "store" / "lua").glob("*.lua"):
        code = re.sub(r"--\[\[.*?\]\]", "", script.read_text("utf-8"), flags=re.DOTALL)
        words = set(re.findall(r"[A-Z_]{4,}", re.sub(r"--.*", "", code)))
        assert not words & set(State.__members__), script.name

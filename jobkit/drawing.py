"""The state graph as people read it: a Mermaid diagram, Markdown tables, and ``docs/states.md``, made of both."""

from __future__ import annotations

from collections.abc import Iterable

from jobkit.states import ABOUT, VERBS, Category, states


def mermaid() -> str:
    """The graph as a Mermaid state diagram, one line per edge, labelled with its verb."""
    lines = ["stateDiagram-v2", *(f"    {source} --> {target}: {name}" for source, target, name in _edges())]
    return "\n".join(lines) + "\n"


def _edges() -> Iterable[tuple[str, str, str]]:
    for verb in VERBS.values():
        for source in verb.sources or ("[*]",):
            yield (source if isinstance(source, str) else source.value), verb.target.value, verb.name
    for state in states(Category.ENDED):
        yield state.value, "[*]", "end"
    for state in states(Category.RESTARTED):
        yield state.value, "[*]", "next run"


def markdown() -> str:
    """The states and the verbs as two Markdown tables."""
    head = "| category | state | meaning | Celery | Oracle VM | TFS | WMI |\n|---|---|---|---|---|---|---|\n"
    body = "".join(
        f"| {a.category.value} | {s} | {a.meaning} | {a.celery} | {a.oracle.value} | {a.tfs.value} "
        f"| {a.wmi.value} {a.wmi.name} |\n"
        for s, a in ABOUT.items()
    )
    verbs = "| verb | from | to | by | meaning |\n|---|---|---|---|---|\n" + "".join(
        f"| {v.name} | {', '.join(v.sources) or 'a new run'} | {v.target} | {v.actor.value} | {v.meaning} |\n"
        for v in VERBS.values()
    )
    return f"{head}{body}\n{verbs}"


def document() -> str:
    """The whole of ``docs/states.md``."""
    return (
        "# The state graph\n\nPrinted from `jobkit/states.py` by `make docs`; a test compares the two.\n\n"
        f"```mermaid\n{mermaid()}```\n\n{markdown()}"
    )


if __name__ == "__main__":
    print(document(), end="")

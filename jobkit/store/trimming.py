"""What a script begins with, without what it does not use: Redis makes each function anew at every call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_RARELY = re.compile(r"^-- rarely: ([\w, ]+)\n", re.MULTILINE)
_LONG_COMMENT = re.compile(r"--\[\[.*?\]\]", re.DOTALL)
_NO_CODE = re.compile(r"""--[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""")
_WORD = re.compile(r"(?<![\w.:])[A-Za-z_]\w*\b(?!\s*=(?!=))")
_NAMES = re.compile(r"local (?:function (\w+)|([\w, ]+))")


@dataclass(frozen=True)
class Block:
    """One ``local`` of a library: the names it gives, its text, and the words its code uses."""

    names: tuple[str, ...]
    text: str
    words: frozenset[str]


def words(text: str) -> frozenset[str]:
    """The names code uses: not those in comments, in strings, behind a dot, or that are given a value."""
    return frozenset(_WORD.findall(_NO_CODE.sub(" ", _LONG_COMMENT.sub(" ", text))))


def blocks(text: str, read: Callable[[str], str] = str) -> list[Block]:
    """The blocks of a library's text, which has nothing but them; `read` says what the text of each becomes."""
    found: list[list[str]] = []
    for line in _LONG_COMMENT.sub("", text).splitlines(keepends=True):
        if line.startswith("local "):
            found.append([line])
        elif found and line.startswith((" ", "end", "}")):
            found[-1].append(line)
        elif line.strip() and not line.startswith("--"):
            raise ValueError(f"a library has nothing but what is local: {line!r}")
    return [_block(read("".join(lines))) for lines in found]


def _block(text: str) -> Block:
    _, function, variables = _NAMES.split(text, maxsplit=1)[:3]
    return Block((function,) if function else tuple(re.findall(r"\w+", variables)), text, words(text))


def trimmed(library: Sequence[Block], body: str) -> str:
    """What of a library this body uses, in its order.

    What a body says it needs ``-- rarely`` is made when it is called for the first time, with all that only it needs.
    """
    rare = {name for found in _RARELY.findall(body) for name in re.findall(r"\w+", found)}
    if unknown := rare.difference(*(block.names for block in library)):
        raise ValueError(f"rarely needed, and not there: {unknown}")
    hot = _used(library, words(body), rare)
    later = [block for block in _used(library, rare, set()) if block not in hot]
    text = "".join(block.text for block in hot)
    if not later:
        return text + body
    calls = re.compile(rf"(?<![\w.:])({'|'.join(rare)})(?=\()")
    parts = (calls.sub(r"rarely().\1", part) for part in (text, body))
    return _LATER % (next(parts), "".join(block.text for block in later), _table(rare), next(parts))


_LATER = """local rarely
%srarely = function()
%slocal found = {%s}
rarely = function() return found end
return found
end
%s"""


def _table(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = {name}" for name in sorted(names))


def _used(library: Sequence[Block], needed: Iterable[str], without: set[str]) -> list[Block]:
    """The blocks these names lead to; not those behind the names `without`."""
    needed, kept = set(needed) - without, []
    # A block uses only what stands before it.
    for block in reversed(library):
        if needed.intersection(block.names):
            kept.append(block)
            needed |= block.words - without
    return kept[::-1]

"""The Lua verbs: loaded from their files, called by hash, safe to be called twice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from jobkit.store.calls import Calls, written
from jobkit.store.graph import lua_graph
from jobkit.store.keys import KINDS, lua_names
from jobkit.store.trimming import blocks, trimmed

_FLAGS = re.compile(r"^-- flags: ([\w, -]+)\n", re.MULTILINE)
_INCLUDE = re.compile(r"^-- include: (\w+)\n", re.MULTILINE)
_INSIDE = re.compile(r"^ *-- inside: (\w+)\n", re.MULTILINE)
#: A key of a kind that is known here: what stands in front of its name is put in place.
_KEY = re.compile(r'(?<![\w.:])key\("(\w+)"')
_FILES = resources.files("jobkit.store") / "lua"

#: Every script, by the name of its file.
NAMES = tuple(
    sorted(
        f.name.removesuffix(".lua") for f in _FILES.iterdir() if f.name.endswith(".lua") and not f.name.startswith("_")
    )
)


def _read(name: str) -> str:
    return (_FILES / f"{name}.lua").read_text(encoding="utf-8")


def _whole(text: str) -> str:
    text = _INSIDE.sub(lambda found: _read(found[1]), text)
    return _KEY.sub(lambda found: f'named("{KINDS[found[1]]}"', text)


@cache
def source(name: str, *, test_clock: bool = False, flags: bool = True) -> str:
    """The whole text of a script: see `assembled`."""
    return assembled(_read(name), test_clock=test_clock, flags=flags)


def assembled(body: str, *, test_clock: bool = False, flags: bool = True) -> str:
    """Flags, keys, and what this body uses of the rows of the graph, the clock, the library and its own includes.

    A script that says ``-- flags: allow-oom`` goes on while Redis is full: a job can end, and its worker prove itself
    alive.  Redis knows of flags since 7.0.
    """
    first = f"#!lua flags={found[1]}\n" if flags and (found := _FLAGS.search(body)) else ""
    parts = dict.fromkeys(["_words", "_lib", "_clock_test" if test_clock else "_clock", *_included(body)])
    library = blocks(lua_names() + lua_graph() + "".join(map(_read, parts)), _whole)
    return first + trimmed(library, _whole(body))


def is_lost(exc: Exception) -> bool:
    """Does Redis say that it does not have a script (any more)?"""
    return isinstance(exc, NoScriptError)


def _included(text: str) -> list[str]:
    # What an include needs itself stands before it.
    return [part for direct in _INCLUDE.findall(text) for part in (*_included(_read(direct)), direct)]


class Scripts:
    """The scripts of one namespace on one client.

    Parameters: `client`, a `redis.Redis`; `base`, what every key begins with; `test_clock`, for tests only, lets the
    clock key decide what time it is.
    """

    def __init__(self, client: Redis, base: str, *, test_clock: bool = False) -> None:
        self._client, self._base, self._test_clock = client, base, test_clock
        self._call = Calls(client)
        self._flags = True
        self._hashes: dict[str, str] = {}

    def __call__(self, name: str, *args: Any) -> Any:
        """Run a script; it is loaded again where Redis lost it (restart, fail-over, SCRIPT FLUSH)."""
        sha = self._hashes.get(name) or self._hash(name)
        try:
            return self._call(sha, self._base, args)
        except NoScriptError:
            return self._load_and_run(name, written(args))

    def command(self, name: str, *args: Any, load: bool = False) -> list[Any]:
        """The command that runs a script on a connection of somebody else's; `load` where Redis has lost it."""
        first = ["EVAL", self._source(name)] if load else ["EVALSHA", self._hashes.get(name) or self._hash(name)]
        return [*first, 1, self._base, *written(args)]

    def followed(self, name: str, args: Sequence[Any], commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Run a script, and these commands right after it on its connection; their answers, or what Redis refused."""
        found = self._together([self.command(name, *args), *commands])
        if is_lost(found[0]):
            reply = self(name, *args)
            found = self._together([self.command(name, *args), *commands])
            found[0] = found[0] if isinstance(found[0], Exception) else reply
        if isinstance(found[0], Exception):
            raise found[0]
        return found

    def _together(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call]
            return pipe.execute(raise_on_error=False)

    def _load_and_run(self, name: str, given: list[Any]) -> Any:
        try:
            return self._client.eval(self._source(name), 1, self._base, *given)
        except ResponseError as exc:
            if not self._flags or "compiling script" not in str(exc):
                raise
            self._flags = False  # Redis 6.2
            self._hashes.clear()
            return self._client.eval(self._source(name), 1, self._base, *given)

    def _source(self, name: str) -> str:
        return source(name, test_clock=self._test_clock, flags=self._flags)

    def _hash(self, name: str) -> str:
        sha = self._hashes[name] = hashlib.sha1(self._source(name).encode(), usedforsecurity=False).hexdigest()
        return sha

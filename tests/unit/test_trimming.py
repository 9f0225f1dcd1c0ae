"""A script is made of what it uses, in its order; what it needs rarely is made when it is needed."""

from __future__ import annotations

import pytest

from jobkit.store.scripts import NAMES, source
from jobkit.store.trimming import blocks, trimmed, words

LIBRARY = """
-- Why it is there.
local A, B = 1, 2
local function one() return A end
--[[ Of this nothing is left:
local function gone() end ]]
local function two(job)
  return one() + job.three
end
local function three() return two({}) end
"""


def test_code_uses_what_stands_in_no_comment_and_no_string_and_behind_no_dot_and_is_given_no_value() -> None:
    assert words('local x = y.z .. {r = q == p} .. "u \\" v" -- w\n--[[ s\nt ]]') == {"local", "y", "q", "p"}


def test_only_what_is_used_is_kept_in_its_order() -> None:
    library = blocks(LIBRARY)
    assert [block.names for block in library] == [("A", "B"), ("one",), ("two",), ("three",)]
    assert trimmed(library, "return 1") == "return 1"
    assert trimmed(library, "return two({three = 3})").split("local ")[1:3] == [
        "A, B = 1, 2\n",
        "function one() return A end\n",
    ]
    assert "three()" not in trimmed(library, "return two({})")


def test_what_is_needed_rarely_is_made_with_all_that_only_it_needs() -> None:
    text = trimmed(blocks(LIBRARY), "-- rarely: three\nif one() == 2 then return three() end")
    before, _, rest = text.partition("rarely = function()\n")
    inside, _, body = rest.partition("local found = {three = three}\n")
    assert "function one" in before
    assert "function two" not in before
    assert "function two" in inside
    assert "function one" not in inside
    assert body.endswith("if one() == 2 then return rarely().three() end")


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="four"):
        trimmed(blocks(LIBRARY), "-- rarely: four\nreturn 1")
    with pytest.raises(ValueError, match="return 1"):
        blocks("return 1")


@pytest.mark.parametrize("name", NAMES)
def test_no_script_uses_what_is_rare_but_by_a_call(name: str) -> None:
    text = source(name)
    before, _, rest = text.partition("rarely = function()\n")
    table = rest.partition("local found = {")[2].partition("}")[0]
    rare = {entry.partition(" ")[0] for entry in table.split(", ") if entry}
    assert not rare & words(before + rest.partition("return found\nend\n")[2])

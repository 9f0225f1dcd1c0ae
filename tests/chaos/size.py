"""How large the scenarios are: small in every run of the tests, as RELIABILITY has them by `make chaos`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

#: The variable that has them at full size.
VARIABLE = "CHAOS_FULL"
FULL = bool(os.environ.get(VARIABLE))


def size(small: T, full: T) -> T:
    """The one that applies."""
    return full if FULL else small


def only_full(values: Iterable[Any]) -> list[Any]:
    """Parameters that are for the full size."""
    return [pytest.param(value, marks=pytest.mark.skipif(not FULL, reason="by make chaos")) for value in values]

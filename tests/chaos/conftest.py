"""A stage for each test, and one nursery for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.nursery import Nursery
from tests.chaos.stage import ROOT, Stage, staged


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where the workers of all tests come from."""
    nursery = Nursery(ROOT)
    yield nursery
    nursery.close()


@pytest.fixture
def stage(tmp_path: Path, nursery: Nursery) -> Iterator[Stage]:
    """A Redis that keeps what it acknowledged, and the app on it."""
    with staged(tmp_path, nursery=nursery) as stage:
        yield stage

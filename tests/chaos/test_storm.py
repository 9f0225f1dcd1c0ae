"""The short storm; ``make chaos`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.figures import text
from tests.chaos.storm import Weather, blow


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_nothing_is_lost_and_nothing_happens_twice(tmp_path: Path) -> None:
    result = blow(tmp_path, Weather(jobs=240, seconds=140))
    print(text(result.rows))
    assert result.findings == []
    assert dict(row[:2] for row in result.rows)["Redis killed"] == "2"

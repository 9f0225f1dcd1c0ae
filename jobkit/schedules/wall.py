"""From wall-clock times to moments: what daylight saving does to them is decided here, and nowhere else."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

#: Naive wall-clock times from the given one on, ascending.
Walls = Callable[[datetime], Iterator[datetime]]

#: More than any zone ever moved its clocks by: Samoa left out a whole day.
_NEAR = timedelta(hours=26)


def moments(walls: Walls, zone: ZoneInfo, after: datetime, *, twice: bool) -> Iterator[datetime]:
    """The moments of these wall-clock times after `after`, ascending, in UTC.

    Parameters: `twice`, whether a time that the day has twice counts twice.
    """
    begin = _local(after, zone) - (_NEAR if _shifts(after, zone) else timedelta(0))
    waiting: list[datetime] = []
    last = after
    for wall in walls(begin):
        for moment in _readings(wall, zone, twice=twice):
            if moment > last:
                heapq.heappush(waiting, moment)
        # Near a change of the clocks a later wall-clock time can be an earlier moment.
        while waiting and (not _shifts(waiting[0], zone) or _local(waiting[0], zone) + _NEAR < wall):
            moment = heapq.heappop(waiting)
            if moment > last:
                last = moment
                yield moment
    yield from sorted(set(waiting) - {last})


def _readings(wall: datetime, zone: ZoneInfo, *, twice: bool) -> Iterator[datetime]:
    first = wall.replace(tzinfo=zone).astimezone(timezone.utc)
    yield first
    if twice:
        second = wall.replace(tzinfo=zone, fold=1).astimezone(timezone.utc)
        if second > first:
            yield second


def _shifts(moment: datetime, zone: ZoneInfo) -> bool:
    return (moment - _NEAR).astimezone(zone).utcoffset() != (moment + _NEAR).astimezone(zone).utcoffset()


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)

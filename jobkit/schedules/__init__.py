"""When something is to happen: pure values, without a store, a worker or a clock of their own.

A schedule is one rule (crontab, interval, recurrence rule, fixed times, position of the sun), in a time zone, between a
start and an end, without the days of an exclusion calendar, with a jitter.  Its answers are *slots*: moments in UTC.

Daylight saving, for every rule that speaks of wall-clock times, is that of RFC 5545:

* a time that a day does not have (02:30 while clocks go from 02:00 to 03:00) is read with the offset before the
  change: it fires once, at 03:30;
* a time that a day has twice (02:30 while clocks go back from 03:00 to 02:00) fires once, the first time;
* but what goes through all hours (a crontab whose hour is ``*``, a recurrence rule of hours, minutes or seconds without
  BYHOUR) goes on through the repeated hour, and has nothing to make up for the missing one.

Intervals are lengths of time and know no wall clock: ``every=86400`` drifts by an hour against it, twice a year.
"""

from jobkit.schedules.making import schedule
from jobkit.schedules.schedule import Schedule, next_slot, next_slots

__all__ = ["Schedule", "next_slot", "next_slots", "schedule"]

"""Which job goes first: short and early ones, what its caller raised, and whoever has waited long."""

from __future__ import annotations

from jobkit.errors import InvalidOption

#: The levels, first to go first: raised by the caller, short, ordinary, long; as far apart as Redis's own steps are.
HIGH, SHORT, NORMAL, LONG = 0, 3, 6, 9
LEVELS = {"high": HIGH, "short": SHORT, "normal": NORMAL, "long": LONG}
#: Seconds up to which a run is short, and from which it is long.
SHORT_RUN, LONG_RUN = 5.0, 60.0


def level(expected: float | None) -> int:
    """The level of a job that is expected to run so many seconds; None: nobody knows."""
    if expected is None:
        return NORMAL
    return SHORT if expected <= SHORT_RUN else LONG if expected > LONG_RUN else NORMAL


def checked(value: str | int) -> int:
    """The level a caller asked for: its name, or 0 (first) to 9.  Raises: `InvalidOption`."""
    if isinstance(value, str) and value in LEVELS:
        return LEVELS[value]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LONG:
        return value
    allowed = f"must be one of {', '.join(LEVELS)}, or 0 (first) to 9"
    raise InvalidOption(option="priority", value=value, allowed=allowed)


def for_broker(level: int, driver: str) -> int:
    """What the broker calls it: on Redis 0 goes first, on RabbitMQ (a queue with ``x-max-priority``) the highest."""
    return level if driver == "redis" else LONG - level

"""Time-ordered ids."""

from __future__ import annotations

import os
import time

#: The digit that says which variant of UUID it is, by the random one in its place.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def uuid7() -> str:
    """A UUID of version 7: 48 bits of milliseconds, then random bits, so that ids sort by age (RFC 9562)."""
    moment, chance = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10).hex()
    return f"{moment[:8]}-{moment[8:]}-7{chance[:3]}-{_VARIANT[chance[3]]}{chance[4:7]}-{chance[7:19]}"

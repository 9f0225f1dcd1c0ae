"""Time-ordered ids."""

from __future__ import annotations

import secrets
import time


def uuid7() -> str:
    """A UUID of version 7: 48 bits of milliseconds, then random bits, so that ids sort by age (RFC 9562)."""
    moment = time.time_ns() // 1_000_000
    value = (moment << 80) | secrets.randbits(80)
    value = value & ~(0xF << 76) | (7 << 76)
    value = value & ~(0x3 << 62) | (2 << 62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

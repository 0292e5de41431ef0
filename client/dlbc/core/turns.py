"""Who of several keepers acts first, though they know nothing of each other: each draws a lot from what it is about."""

from __future__ import annotations

from dlbc.core.hashing import keccak
from dlbc.core.types import Address

SPREAD_SECONDS = 300
"""Over which keepers spread at most to write what is due; a fraction of any public chain's shortest window."""
SHARE = 8
"""They take at most an eighth of a window for it."""
_LOTS = 2**32


def draw_lot(keeper: Address, *about: object) -> int:
    """0 <= lot < 2^32, the same whenever this keeper draws about this."""
    said = "/".join(str(part).lower() for part in (*about, keeper))
    return int.from_bytes(keccak(said.encode())[:4], "big")


def delay(seconds: int, lot: int) -> int:
    """How long the keeper with this lot waits for others, out of so many seconds; rounded down."""
    return seconds * lot // _LOTS


def spread_to_advance(min_window: int) -> int:
    """Seconds over which keepers spread after a window's end, on a chain whose shortest window this is."""
    return min(SPREAD_SECONDS, min_window // SHARE)

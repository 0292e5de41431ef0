"""From the checks that an audit failed to what can be done about it: grounds of a dispute (P-52), or an impeachment."""

from __future__ import annotations

from collections.abc import Iterable

from dlbc.core.report import Check
from dlbc.core.types import Ground

GROUND_OF_CHECK = {
    "sealing key": Ground.HASH,
    "sealed bytes": Ground.UNAVAILABLE,
    "part list": Ground.HASH,
    "unsealing": Ground.HASH,
    "sha256 of the weights": Ground.HASH,
    "architecture and limits": Ground.ARCHITECTURE,
    "predictions root": Ground.SCORE,
    "published total": Ground.SCORE,
    "published scores": Ground.SCORE,
    "score recomputed": Ground.SCORE,
    "decisive samples": Ground.SAMPLES,
    "slot key under root": Ground.NO_WATERMARK,
    "watermark slot 0": Ground.NO_WATERMARK,
    "no other miner's mark": Ground.COPIED,
}
"""Checks of `dlbc audit` that speak of what a vote decides (P-53)."""

NO_GROUND = Ground(0)

TEST_SET_CHECKS = frozenset(
    {
        "test set",
        "test set preimage",
        "test set key",
        "test set as listed",
        "test set bytes",
        "test samples",
        "labels root",
    }
)
"""Checks that speak of the requester's test set: a reason to impeach it, until revealing ends (P-45)."""


def grounds_of(checks: Iterable[Check]) -> Ground:
    """The grounds that the failed checks give; NO_GROUND = nothing that a vote could decide."""
    grounds = NO_GROUND
    for check in checks:
        if not check.ok:
            grounds |= GROUND_OF_CHECK.get(check.name, NO_GROUND)
    return grounds


def speaks_against_the_test_set(checks: Iterable[Check]) -> bool:
    """Whether a failed check is about the test set rather than about a claim."""
    return any(not check.ok and check.name in TEST_SET_CHECKS for check in checks)

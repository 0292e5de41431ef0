"""Does the empirical tail lie under the bound P(S >= s) <= exp(-s²/2)? An exact test, so that luck is no finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

LEVELS = tuple(float(level) for level in np.arange(0.5, 6.01, 0.25))
SIGNIFICANCE = 1e-6
"""Probability, over all levels together, that a bound which holds exactly is called broken."""


@dataclass(frozen=True, slots=True)
class Level:
    """How many of `count` strengths reached s, against what the bound allows."""

    s: float
    reached: int
    count: int

    @property
    def bound(self) -> float:
        return min(1.0, float(np.exp(-(self.s**2) / 2)))

    @property
    def p_value(self) -> float:
        """Probability that a binomial with exactly the bound's rate shows at least as many."""
        return float(binom.sf(self.reached - 1, self.count, self.bound))

    def to_json(self) -> dict[str, Any]:
        return {
            "s": self.s,
            "reached": self.reached,
            "share": self.reached / self.count,
            "bound": float(f"{self.bound:.4g}"),
            "p_value": float(f"{self.p_value:.3g}"),
        }


def tail(strengths: NDArray[np.float64], levels: Sequence[float] = LEVELS) -> list[Level]:
    """The empirical tail at each level."""
    ordered = np.sort(strengths)
    return [Level(s, len(ordered) - int(np.searchsorted(ordered, s)), len(ordered)) for s in levels]


def broken(levels: Sequence[Level], significance: float = SIGNIFICANCE) -> list[Level]:
    """The levels at which more was reached than the bound can explain, tested at significance / number of levels."""
    return [level for level in levels if level.p_value < significance / len(levels)]

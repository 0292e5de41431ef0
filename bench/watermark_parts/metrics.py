"""What follows from the curves: epochs to embed, to remove and to train afresh, and their ratio. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev
from typing import Any

TOLERANCE = 0.01
"""x: one percentage point of accuracy."""


@dataclass(frozen=True, slots=True)
class Point:
    """A thief's model after `epoch` epochs of training."""

    epoch: float
    accuracy: float
    is_silent: bool
    """The whole verifier, blind and after alignment, finds nothing."""
    is_silent_blind: bool
    """Without the original, as published for the baseline, nothing is found."""
    log2_chance: float = 0.0
    strength: float | None = None
    wrong: int | None = None
    aligned_log2_chance: float | None = None
    """None, as what follows, where the mark was found blind and nobody had to align."""
    aligned_strength: float | None = None
    aligned_wrong: int | None = None
    cosine: float | None = None


@dataclass(frozen=True, slots=True)
class Least:
    """The fewest epochs that reached a goal; `epochs` of None says that none within `budget` did."""

    epochs: float | None
    budget: int

    def __str__(self) -> str:
        return f"> {self.budget}" if self.epochs is None else f"{self.epochs:g}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """R, or what it is at least where the attack found no way within its budget. None: nothing can be said."""

    value: float | None
    is_lower_bound: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"value": None if self.value is None else round(self.value, 2), "is_lower_bound": self.is_lower_bound}

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        return f"{'> ' if self.is_lower_bound else ''}{self.value:.1f}"


def removed_at(curve: Sequence[Point], floor: float, *, is_blind: bool = False) -> float | None:
    """The first epoch after which the verifier (its blind half alone) is silent and the model still worth having."""
    return next(
        (
            point.epoch
            for point in curve
            if (point.is_silent_blind if is_blind else point.is_silent) and point.accuracy >= floor
        ),
        None,
    )


def reached_at(accuracies: Sequence[tuple[float, float]], floor: float) -> float | None:
    """The first epoch of an (epoch, accuracy) curve at the floor or above."""
    return next((epoch for epoch, accuracy in accuracies if accuracy >= floor), None)


def least(epochs: Iterable[float | None], budget: int) -> Least:
    """Over all runs of a grid."""
    found = [epoch for epoch in epochs if epoch is not None]
    return Least(min(found) if found else None, budget)


def ratio(remove: Least, scratch: Least) -> Ratio:
    """R = E_remove / E_scratch. Nothing can be said if training afresh never got there, or no attacker trained."""
    if scratch.epochs is None or (remove.epochs is None and not remove.budget):
        return Ratio(None)
    if remove.epochs is None:
        return Ratio(remove.budget / scratch.epochs, is_lower_bound=True)
    return Ratio(remove.epochs / scratch.epochs)


def embedded_at(
    marks: Sequence[tuple[float, bool, float]], unmarked: float, tolerance: float = TOLERANCE
) -> float | None:
    """The epoch from which on the mark is in place, if the run ends no more than `tolerance` below unmarked.

    marks: (epoch, is embedded, accuracy) to the end of the run; unmarked: accuracy after as many epochs without a mark.
    """
    if not marks or marks[-1][2] < unmarked - tolerance:
        return None
    missing = [index for index, (_, is_in, _) in enumerate(marks) if not is_in]
    since = missing[-1] + 1 if missing else 0
    return marks[since][0] if since < len(marks) else None


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean and sample standard deviation, with the values."""
    return {
        "mean": round(mean(values), 5),
        "sd": round(stdev(values), 5) if len(values) > 1 else None,
        "runs": [round(value, 5) for value in values],
    }


def paired(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Mean of the differences first - second and its standard error."""
    differences = [a - b for a, b in zip(first, second, strict=True)]
    error = stdev(differences) / sqrt(len(differences)) if len(differences) > 1 else None
    return {"mean": round(mean(differences), 5), "standard_error": None if error is None else round(error, 5)}

"""A score class by class: who is taken for whom, and which samples are worth a look. Numpy and integers only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlbc.core.types import PPM

MAX_MATRIX = 32
"""Classes up to which the whole confusion matrix is told; beyond, only the most frequent confusions."""
MAX_ROWS = 100
MAX_CONFUSIONS = 20
SHOWN_SAMPLES = 24
MAX_SIDE = 96
"""Pixels of a picture's longer side; larger ones are thinned out."""
MAX_VALUES = 2**22
"""Values of the largest sample that becomes a picture."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class of the test set."""

    label: int
    samples: int
    right: int
    predicted: int  # how often the model says this class

    @property
    def recall_ppm(self) -> int | None:
        """Share of its samples that are found; None without samples."""
        return self.right * PPM // self.samples if self.samples else None

    @property
    def precision_ppm(self) -> int | None:
        """Share of what is called so that is so; None if nothing is."""
        return self.right * PPM // self.predicted if self.predicted else None


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often one class is taken for another."""

    label: int
    predicted: int | None  # None: a class that there is not
    samples: int


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Predictions against labels. With many classes the rows are those of the lowest recall."""

    samples: int
    right: int
    classes: int
    outside: int  # predictions of a class that there is not
    rows: tuple[ClassScore, ...]
    matrix: tuple[tuple[int, ...], ...]  # [label][prediction]; empty above MAX_MATRIX classes
    confusions: tuple[Confusion, ...]  # the most frequent first


def score_table(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> ScoreTable:
    """labels: [n], 0 <= y < classes; predictions: [n], whatever somebody published."""
    known = (predictions >= 0) & (predictions < classes)
    right = predictions == labels
    samples = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[right], minlength=classes)
    said = np.bincount(predictions[known], minlength=classes)
    order = np.arange(classes)
    if classes > MAX_ROWS:
        order = np.sort(np.lexsort((-samples, hits / np.maximum(samples, 1), samples == 0))[:MAX_ROWS])
    matrix: tuple[tuple[int, ...], ...] = ()
    if classes <= MAX_MATRIX:
        pairs = np.bincount(labels[known] * classes + predictions[known], minlength=classes * classes)
        matrix = tuple(tuple(row) for row in pairs.reshape(classes, classes).tolist())
    wrong = ~right
    codes = labels[wrong] * (classes + 1) + np.where(known, predictions, classes)[wrong]
    found, counts = np.unique(codes, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:MAX_CONFUSIONS]
    return ScoreTable(
        samples=len(labels),
        right=int(right.sum()),
        classes=classes,
        outside=int((~known).sum()),
        rows=tuple(ClassScore(int(i), int(samples[i]), int(hits[i]), int(said[i])) for i in order),
        matrix=matrix,
        confusions=tuple(_confusion(int(found[i]), int(counts[i]), classes) for i in most),
    )


def pick(
    labels: NDArray[np.int64], claimed: NDArray[np.int64], found: NDArray[np.int64], first: tuple[int, ...] = ()
) -> list[int]:
    """Up to SHOWN_SAMPLES indices: `first`, then where model and claim differ, mistakes, and right ones of all classes.

    The same input gives the same samples, spread over the test set.
    """
    third = SHOWN_SAMPLES // 3
    picked = list(first[:third])
    picked += _spread(np.setdiff1d(np.flatnonzero(found != claimed), picked), third - len(picked))
    picked += _spread(np.setdiff1d(np.flatnonzero(found != labels), picked), third)
    right = np.setdiff1d(np.flatnonzero(found == labels), picked)
    _, firsts = np.unique(labels[right], return_index=True)
    left = SHOWN_SAMPLES - len(picked)
    chosen = _spread(right[firsts], left)
    chosen += _spread(np.setdiff1d(right, chosen), left - len(chosen))
    return picked + sorted(chosen)


def picture(sample: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """uint8 [H, W] or [H, W, 3] of a sample [H, W], [1, H, W] or [3, H, W], its values stretched to 0…255.

    None for any other shape, and for one too large or too thin to look at.
    """
    shape = sample.shape
    is_plain = len(shape) == 2
    if not (is_plain or (len(shape) == 3 and shape[0] in (1, 3))) or sample.size > MAX_VALUES or min(shape[-2:]) < 2:
        return None
    step = -(-max(shape[-2:]) // MAX_SIDE)
    if min(shape[-2:]) < step:
        return None
    thin = sample[..., ::step, ::step].astype(np.float64)
    low, high = float(thin.min()), float(thin.max())
    values = (thin - low) * (255 / (high - low)) if high > low else np.full_like(thin, 128)
    pixels: NDArray[np.uint8] = np.rint(values).astype(np.uint8)
    if is_plain:
        return pixels
    return pixels[0] if shape[0] == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))


def _confusion(code: int, count: int, classes: int) -> Confusion:
    label, predicted = divmod(code, classes + 1)
    return Confusion(label, predicted if predicted < classes else None, count)


def _spread(indices: NDArray[np.int64], count: int) -> list[int]:
    """At most `count` of them, evenly."""
    if count <= 0 or not len(indices):
        return []
    places = np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).astype(np.int64))
    return [int(index) for index in indices[places]]

"""Scores class by class, the samples that are shown, and their pictures."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from dlbc.core.score_table import (
    MAX_CONFUSIONS,
    MAX_MATRIX,
    MAX_ROWS,
    MAX_SIDE,
    SHOWN_SAMPLES,
    ClassScore,
    Confusion,
    pick,
    picture,
    score_table,
)
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


def ints(*values: int) -> np.ndarray:
    """As labels and predictions come."""
    return np.array(values, np.int64)


def test_score_table__three_classes__counts_by_class_and_pair() -> None:
    """Recall, precision, matrix and confusions of a table small enough to count by hand."""
    table = score_table(ints(0, 0, 0, 1, 1, 2), ints(0, 1, 1, 1, 0, 1), 3)
    assert table.rows == (ClassScore(0, 3, 1, 2), ClassScore(1, 2, 1, 4), ClassScore(2, 1, 0, 0))
    assert table.matrix == ((1, 2, 0), (1, 1, 0), (0, 1, 0))
    assert (table.samples, table.right, table.outside) == (6, 2, 0)
    assert table.confusions == (Confusion(0, 1, 2), Confusion(1, 0, 1), Confusion(2, 1, 1))
    assert [row.recall_ppm for row in table.rows] == [333_333, 500_000, 0]
    assert [row.precision_ppm for row in table.rows] == [500_000, 250_000, None]


def test_score_table__class_without_samples__has_no_recall() -> None:
    """Nothing is divided by zero."""
    table = score_table(ints(0, 0), ints(0, 0), 2)
    assert (table.rows[1].recall_ppm, table.rows[1].precision_ppm) == (None, None)


def test_score_table__published_class_that_there_is_not__is_outside() -> None:
    """A hostile predictions file may name any class."""
    table = score_table(ints(0, 1, 1), ints(2**32 - 1, 1, 7), 2)
    assert (table.outside, table.right) == (2, 1)
    assert Confusion(0, None, 1) in table.confusions
    assert sum(map(sum, table.matrix)) == 1


def test_score_table__very_many_classes__stays_small() -> None:
    """The worst classes are listed, and no matrix of a million million cells is made."""
    labels = np.arange(5_000, dtype=np.int64)
    predictions = np.where(labels < 30, labels + 1, labels)
    table = score_table(labels, predictions, 2**20)
    assert (len(table.rows), table.matrix, len(table.confusions)) == (MAX_ROWS, (), MAX_CONFUSIONS)
    assert {row.label for row in table.rows} >= set(range(30))
    assert all(row.samples for row in table.rows)
    assert MAX_MATRIX**2 < 2_000


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=60))
def test_score_table__any_predictions__its_sums_agree(pairs: list[tuple[int, int]]) -> None:
    """Every sample is in one row, one column and, if wrong, in one confusion, of which the largest are listed."""
    labels, predictions = (ints(*column) for column in zip(*pairs, strict=True))
    table = score_table(labels, predictions, 5)
    assert sum(row.samples for row in table.rows) == table.samples == len(pairs)
    assert sum(row.right for row in table.rows) == table.right == sum(y == p for y, p in pairs)
    assert sum(row.predicted for row in table.rows) == table.samples - table.outside
    assert [sum(column) for column in zip(*table.matrix, strict=True)] == [row.predicted for row in table.rows]
    wrong = Counter((y, p if p < 5 else None) for y, p in pairs if y != p)
    assert [pair.samples for pair in table.confusions] == sorted(wrong.values(), reverse=True)[:MAX_CONFUSIONS]
    assert all(pair.samples == wrong[pair.label, pair.predicted] for pair in table.confusions)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=80),
    st.integers(0, 7),
)
def test_pick__any_predictions__shows_each_sample_once(triples: list[tuple[int, int, int]], first: int) -> None:
    """No more than there is room for; contradictions first; differences, mistakes and right ones if there are any."""
    labels, claimed, found = (ints(*column) for column in zip(*triples, strict=True))
    wanted = tuple(int(index) for index in np.flatnonzero(claimed != found)[:first])
    picked = pick(labels, claimed, found, wanted)
    assert len(picked) == len(set(picked)) <= SHOWN_SAMPLES
    assert tuple(picked[: len(wanted)]) == wanted
    chosen = ints(*picked)
    for which in (claimed != found, found != labels, found == labels):
        assert which[chosen].any() == which.any()


def test_pick__all_right__every_class_is_seen() -> None:
    """Of a sorted test set too, where the first samples are all of one class."""
    labels = np.repeat(np.arange(10), 50)
    assert set(labels[pick(labels, labels, labels)].tolist()) == set(range(10))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 8), (8, 8)),
        ((1, 28, 20), (28, 20)),
        ((3, 32, 32), (32, 32, 3)),
        ((3, 400, 200), (80, 40, 3)),
        ((64,), None),
        ((2, 8, 8), None),
        ((1, 1, 64), None),
        ((4, 3, 8, 8), None),
        ((1, 2, 4_000), None),
    ],
)
def test_picture__shape__is_an_image_or_none(shape: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    """[H, W], [1, H, W] and [3, H, W] are images; large ones are thinned out."""
    sample = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    pixels = picture(sample)
    assert (None if pixels is None else pixels.shape) == expected
    if pixels is not None:
        assert (pixels.dtype, pixels.min(), pixels.max()) == (np.uint8, 0, 255)
        assert max(pixels.shape) <= MAX_SIDE


def test_picture__flat_or_huge_values__neither_warns_nor_wraps() -> None:
    """Warnings are errors in these tests: float32's largest values have to fit."""
    assert picture(np.zeros((4, 4), np.float32)).tolist() == [[128] * 4] * 4
    largest = np.finfo(np.float32).max
    assert picture(np.array([[-largest, largest], [0, largest]], np.float32)).tolist() == [[0, 255], [128, 255]]

"""Scores tied to published per-sample predictions: label tree, prediction tree, predictions file (section 11)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlbc.core.errors import BadInput
from dlbc.core.hashing import h, keccak
from dlbc.core.types import PPM, ZERO_HASH, Hash32

MAX_SAMPLES = 2**32
MAX_SAMPLE_SCORE = 2**24

_PREDICTION_LEAF, _PREDICTION_NODE, _LABEL_LEAF, _LABEL_NODE, _ROOT = (kind.to_bytes(32, "big") for kind in range(5))
_MAGIC = b"DLBCPRD1"


class LabelTree:
    """Merkle tree over the labels of a test set (M-2): leaf H(2, y), node H(3, l, r), padding 0."""

    def __init__(self, labels: ArrayLike) -> None:
        """labels: [n] ints, 1 <= n <= 2^32. Raises BadInput."""
        values = _ints(labels, "labels", 2**63 - 1)
        level = [keccak(_LABEL_LEAF + row) for row in _rows(values)]
        self._levels = [level]
        padding = ZERO_HASH
        self._padding = [padding]
        while len(level) > 1:
            pairs = [*level, padding] if len(level) % 2 else level
            level = [keccak(_LABEL_NODE + pairs[i] + pairs[i + 1]) for i in range(0, len(pairs), 2)]
            padding = keccak(_LABEL_NODE + padding + padding)
            self._levels.append(level)
            self._padding.append(padding)

    @property
    def root(self) -> Hash32:
        """labelsRoot of the test commitment."""
        return self._levels[-1][0]

    def path(self, i: int) -> tuple[Hash32, ...]:
        """Sibling hashes of label i, leaf to root. Raises BadInput."""
        _check_index(i, len(self._levels[0]))
        siblings = []
        for level, padding in zip(self._levels[:-1], self._padding, strict=False):
            sibling = i ^ 1
            siblings.append(level[sibling] if sibling < len(level) else padding)
            i >>= 1
        return tuple(siblings)


class PredictionTree:
    """Merkle sum tree over predictions and scores (M-3, M-4).

    Leaf (H(0, proofDigest, p, s), s), node (H(1, hL, sL, hR, sR), sL + sR), padding (0, 0).
    """

    def __init__(self, proof_digest: Hash32, predictions: ArrayLike, scores: ArrayLike) -> None:
        """predictions, scores: [n] ints each, 1 <= n <= 2^32, p < 2^32, s <= 2^24. Raises BadInput."""
        classes = _ints(predictions, "predictions", 2**32 - 1)
        sums = _ints(scores, "scores", MAX_SAMPLE_SCORE)
        if len(classes) != len(sums):
            raise BadInput(f"expected as many scores as predictions, found {len(sums)} and {len(classes)}")
        prefix = _PREDICTION_LEAF + proof_digest
        level = [keccak(prefix + row) for row in _rows(classes, sums)]
        self._proof_digest = proof_digest
        self._levels = [(level, sums)]
        padding = ZERO_HASH
        self._padding = [padding]
        zero = bytes(32)
        while len(level) > 1:
            if len(level) % 2:
                level = [*level, padding]
                sums = np.append(sums, 0)
            left, right = sums[0::2], sums[1::2]
            words = _rows(left, right)
            level = [
                keccak(_PREDICTION_NODE + level[2 * i] + both[:32] + level[2 * i + 1] + both[32:])
                for i, both in enumerate(words)
            ]
            sums = left + right
            padding = keccak(_PREDICTION_NODE + padding + zero + padding + zero)
            self._levels.append((level, sums))
            self._padding.append(padding)

    @property
    def h_top(self) -> Hash32:
        """Top hash, which reveal() takes besides the claim."""
        return self._levels[-1][0][0]

    @property
    def total(self) -> int:
        """Sum of all scores."""
        return int(self._levels[-1][1][0])

    def root(self, n: int) -> Hash32:
        """predictionsRoot for a test set of n samples (M-5). Raises BadInput if the tree has another number."""
        if n != len(self._levels[0][0]):
            raise BadInput(f"expected {n} predictions, found {len(self._levels[0][0])}")
        return predictions_root(self._proof_digest, n, self.h_top, self.total)

    def path(self, i: int) -> tuple[tuple[Hash32, int], ...]:
        """(sibling hash, sibling sum) of leaf i, leaf to root. Raises BadInput."""
        _check_index(i, len(self._levels[0][0]))
        siblings = []
        for (level, sums), padding in zip(self._levels[:-1], self._padding, strict=False):
            sibling = i ^ 1
            siblings.append((level[sibling], int(sums[sibling])) if sibling < len(level) else (padding, 0))
            i >>= 1
        return tuple(siblings)


def label_root(labels: ArrayLike) -> Hash32:
    """labelsRoot of labels [n] (M-2)."""
    return LabelTree(labels).root


def predictions_root(proof_digest: Hash32, n: int, h_top: Hash32, total: int) -> Hash32:
    """H(4, proofDigest, n, hTop, total) (M-5)."""
    return h(_ROOT, proof_digest, n, h_top, total)


def top1_scores(predictions: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """1 where the prediction is the label, else 0; shape [n], int64. Raises BadInput."""
    found = _ints(predictions, "predictions", 2**32 - 1)
    expected = _ints(labels, "labels", 2**32 - 1)
    if len(found) != len(expected):
        raise BadInput(f"expected {len(expected)} predictions, one a label; found {len(found)}")
    scores: NDArray[np.int64] = (found == expected).astype(np.int64)
    return scores


def score_ppm(total: int, n: int, max_sample_score: int) -> int:
    """floor(total * 1e6 / (n * M)); for display and the ledger only (M-1)."""
    return total * PPM // (n * max_sample_score)


def meets(total: int, required_ppm: int, n: int, max_sample_score: int) -> bool:
    """True iff the total reaches a required share of the maximum, without rounding (P-42)."""
    return total * PPM >= required_ppm * n * max_sample_score


def encode_predictions(predictions: ArrayLike, scores: ArrayLike) -> bytes:
    """The predictions file: "DLBCPRD1", n, n predictions, n scores; all uint32 little-endian. Raises BadInput."""
    classes = _ints(predictions, "predictions", 2**32 - 1)
    values = _ints(scores, "scores", MAX_SAMPLE_SCORE)
    if len(classes) != len(values):
        raise BadInput(f"expected as many scores as predictions, found {len(values)} and {len(classes)}")
    if len(classes) >= MAX_SAMPLES:
        raise BadInput(f"predictions: expected fewer than {MAX_SAMPLES} in one file, found {len(classes)}")
    return b"".join(
        (_MAGIC, struct.pack("<I", len(classes)), classes.astype("<u4").tobytes(), values.astype("<u4").tobytes())
    )


def predictions_bytes(n: int) -> int:
    """Size of the predictions file of n samples, to cap its download."""
    return len(_MAGIC) + 4 + 8 * n


def decode_predictions(data: bytes, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(predictions, scores), int64 [n] each, of a file for exactly n samples. Raises BadInput."""
    if len(data) != predictions_bytes(n):
        raise BadInput(f"predictions: expected {predictions_bytes(n)} bytes for {n} samples, found {len(data)}")
    if data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC) : len(_MAGIC) + 4] != struct.pack("<I", n):
        raise BadInput(f"predictions: expected DLBCPRD1 and {n} samples, found {data[:12].hex()}")
    values = np.frombuffer(data, dtype="<u4", offset=len(_MAGIC) + 4).astype(np.int64)
    return values[:n], _ints(values[n:], "scores", MAX_SAMPLE_SCORE)


def _ints(values: ArrayLike, name: str, most: int) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or not 1 <= len(array) <= MAX_SAMPLES:
        raise BadInput(f"{name}: expected a list of 1 to {MAX_SAMPLES} whole numbers, found shape {array.shape}")
    if array.dtype.kind not in "iu":
        raise BadInput(f"{name}: expected whole numbers, found {array.dtype}")
    if int(array.min()) < 0 or int(array.max()) > most:
        raise BadInput(f"{name}: expected 0 to {most}, found {int(array.min())} to {int(array.max())}")
    return array.astype(np.int64)


def _rows(*columns: NDArray[np.int64]) -> Sequence[bytes]:
    """The columns as 32-byte big-endian words side by side, one bytes object a row."""
    table = np.zeros((len(columns[0]), len(columns), 4), dtype=">u8")
    for index, column in enumerate(columns):
        table[:, index, 3] = column
    data = table.tobytes()
    width = 32 * len(columns)
    return [data[start : start + width] for start in range(0, len(data), width)]


def _check_index(i: int, count: int) -> None:
    if not 0 <= i < count:
        raise BadInput(f"sample: expected 0 to {count - 1}, found {i}")

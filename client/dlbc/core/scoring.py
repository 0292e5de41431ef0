"""Scores tied to published per-sample predictions: label tree, prediction tree, predictions file (section 11)."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlbc.core.errors import BadInput
from dlbc.core.hashing import h
from dlbc.core.keccak import Rows, keccak_rows
from dlbc.core.types import PPM, ZERO_HASH, Hash32, PredictionLeaf, SumNode

MAX_SAMPLES = 2**32
MAX_SAMPLE_SCORE = 2**24
DECISIVE_SHARE = 1e-3
"""δ of M-8. Float32 on another device moves a logit by about 1e-6 of the range."""

_UINT32 = 2**32 - 1
_PREDICTION_LEAF, _PREDICTION_NODE, _LABEL_LEAF, _LABEL_NODE, _ROOT = (kind.to_bytes(32, "big") for kind in range(5))
_MAGIC = b"DLBCPRD1"


class LabelTree:
    """Merkle tree over the labels of a test set (M-2): leaf H(2, y), node H(3, l, r), padding 0."""

    def __init__(self, labels: ArrayLike) -> None:
        """labels: [n] ints, 1 <= n <= 2^32. Raises BadInput."""
        values = _ints(labels, "labels", 2**63 - 1)
        level = keccak_rows(_columns(_LABEL_LEAF, _words(values)))
        padding = ZERO_HASH
        self._levels, self._padding = [level], [padding]
        while len(level) > 1:
            pairs = _even(level, padding).reshape(-1, 64)
            level = keccak_rows(_columns(_LABEL_NODE, pairs))
            padding = label_node(padding, padding)
            self._levels.append(level)
            self._padding.append(padding)

    @property
    def root(self) -> Hash32:
        """labelsRoot of the test commitment."""
        return Hash32(self._levels[-1][0].tobytes())

    def path(self, i: int) -> tuple[Hash32, ...]:
        """Sibling hashes of label i, leaf to root. Raises BadInput."""
        _check_index(i, len(self._levels[0]))
        return tuple(
            Hash32(level[sibling].tobytes()) if (sibling := (i >> height) ^ 1) < len(level) else padding
            for height, (level, padding) in enumerate(zip(self._levels[:-1], self._padding, strict=False))
        )


class PredictionTree:
    """Merkle sum tree over predictions and scores (M-3, M-4).

    Leaf (H(0, proofDigest, p, s), s), node (H(1, hL, sL, hR, sR), sL + sR), padding (0, 0). Scores above M are hashed
    like others: who checks a stranger's predictions needs the tree that refutes them.
    """

    def __init__(self, proof_digest: Hash32, predictions: ArrayLike, scores: ArrayLike) -> None:
        """predictions, scores: [n] ints each, 1 <= n <= 2^32, all below 2^32. Raises BadInput."""
        classes = _ints(predictions, "predictions", _UINT32)
        # n * s < 2^64
        sums = _ints(scores, "scores", _UINT32).astype(np.uint64)
        if len(classes) != len(sums):
            raise BadInput(f"expected as many scores as predictions, found {len(sums)} and {len(classes)}")
        level = keccak_rows(_columns(_PREDICTION_LEAF + proof_digest, _words(classes), _words(sums)))
        padding = ZERO_HASH
        self._proof_digest = proof_digest
        self._levels, self._padding = [(level, sums)], [padding]
        while len(level) > 1:
            hashes = _even(level, padding).reshape(-1, 64)
            if len(sums) % 2:
                sums = np.append(sums, np.uint64(0))
            left, right = sums[0::2], sums[1::2]
            level = keccak_rows(_columns(_PREDICTION_NODE, hashes[:, :32], _words(left), hashes[:, 32:], _words(right)))
            sums = left + right
            padding = prediction_node(padding, 0, padding, 0)
            self._levels.append((level, sums))
            self._padding.append(padding)

    @property
    def h_top(self) -> Hash32:
        """Top hash, which reveal() takes besides the claim."""
        return self.node(len(self._levels) - 1, 0)[0]

    @property
    def total(self) -> int:
        """Sum of all scores."""
        return int(self._levels[-1][1][0])

    def root(self, n: int) -> Hash32:
        """predictionsRoot for a test set of n samples (M-5). Raises BadInput if the tree has another number."""
        if n != len(self._levels[0][0]):
            raise BadInput(f"expected {n} predictions, found {len(self._levels[0][0])}")
        return predictions_root(self._proof_digest, n, self.h_top, self.total)

    def node(self, height: int, j: int) -> tuple[Hash32, int]:
        """(hash, sum) of node j of a level, from the left; leaves have height 0. Beyond the leaves it is padding."""
        level, sums = self._levels[height]
        if j < len(level):
            return Hash32(level[j].tobytes()), int(sums[j])
        return self._padding[height], 0

    def path(self, i: int) -> tuple[SumNode, ...]:
        """What the hashes above leaf i bind, leaf to root. Raises BadInput."""
        _check_index(i, len(self._levels[0][0]))
        path = []
        for height in range(len(self._levels) - 1):
            sibling, sum_ = self.node(height, (i >> height) ^ 1)
            path.append(SumNode(sibling, sum_, self.node(height, i >> height)[1]))
        return tuple(path)


def label_leaf(label: int) -> Hash32:
    """H(2, y) (M-2)."""
    return h(_LABEL_LEAF, label)


def label_node(left: Hash32, right: Hash32) -> Hash32:
    """H(3, l, r) (M-2)."""
    return h(_LABEL_NODE, left, right)


def prediction_leaf(proof_digest: Hash32, leaf: PredictionLeaf) -> Hash32:
    """H(0, proofDigest, p, s) (M-3)."""
    return h(_PREDICTION_LEAF, proof_digest, leaf.prediction, leaf.score)


def prediction_node(left: Hash32, left_sum: int, right: Hash32, right_sum: int) -> Hash32:
    """H(1, hL, sL, hR, sR) (M-4)."""
    return h(_PREDICTION_NODE, left, left_sum, right, right_sum)


def label_root(labels: ArrayLike) -> Hash32:
    """labelsRoot of labels [n] (M-2)."""
    return LabelTree(labels).root


def predictions_root(proof_digest: Hash32, n: int, h_top: Hash32, total: int) -> Hash32:
    """H(4, proofDigest, n, hTop, total) (M-5)."""
    return h(_ROOT, proof_digest, n, h_top, total)


def top1_scores(predictions: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """1 where the prediction is the label, else 0; shape [n], int64. Raises BadInput."""
    found = _ints(predictions, "predictions", _UINT32)
    expected = _ints(labels, "labels", _UINT32)
    if len(found) != len(expected):
        raise BadInput(f"expected {len(expected)} predictions, one a label; found {len(found)}")
    scores: NDArray[np.int64] = (found == expected).astype(np.int64)
    return scores


def decisive(logits: NDArray[np.float32], predictions: ArrayLike) -> NDArray[np.bool_]:
    """Where a model contradicts a published class beyond what another machine's rounding could (M-8); bool [n].

    logits: [n, C] of the opened model, predictions: [n]. z_max - z_p > DECISIVE_SHARE * (z_max - z_min), so a
    near-tie never counts. A class that there is not is always contradicted. What overflowed counts as the largest
    number of its sign, and NaN as larger than any: so the evaluator takes them, too.
    """
    found = np.asarray(predictions)
    known = (found >= 0) & (found < logits.shape[1])
    most = float(np.finfo(np.float32).max)
    values = np.nan_to_num(logits.astype(np.float64), nan=2 * most, posinf=most, neginf=-most)
    highest, lowest = values.max(1), values.min(1)
    published = values[np.arange(len(values)), np.where(known, found, 0)]
    result: NDArray[np.bool_] = ~known | (highest - published > DECISIVE_SHARE * (highest - lowest))
    return result


def score_ppm(total: int, n: int, max_sample_score: int) -> int:
    """floor(total * 1e6 / (n * M)); for display and the ledger only (M-1)."""
    return total * PPM // (n * max_sample_score)


def meets(total: int, required_ppm: int, n: int, max_sample_score: int) -> bool:
    """True iff the total reaches a required share of the maximum, without rounding (P-42)."""
    return total * PPM >= required_ppm * n * max_sample_score


def encode_predictions(predictions: ArrayLike, scores: ArrayLike) -> bytes:
    """The predictions file: "DLBCPRD1", n, n predictions, n scores; all uint32 little-endian. Raises BadInput."""
    classes = _ints(predictions, "predictions", _UINT32)
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
    """(predictions, scores), int64 [n] each, of a file for exactly n samples. Raises BadInput.

    Any uint32 is a score here: one above M is for a refutation, so it must be read.
    """
    if len(data) != predictions_bytes(n):
        raise BadInput(f"predictions: expected {predictions_bytes(n)} bytes for {n} samples, found {len(data)}")
    if data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC) : len(_MAGIC) + 4] != struct.pack("<I", n):
        raise BadInput(f"predictions: expected DLBCPRD1 and {n} samples, found {data[:12].hex()}")
    values = np.frombuffer(data, dtype="<u4", offset=len(_MAGIC) + 4).astype(np.int64)
    return values[:n], values[n:]


def _ints(values: ArrayLike, name: str, most: int) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or not 1 <= len(array) <= MAX_SAMPLES:
        raise BadInput(f"{name}: expected a list of 1 to {MAX_SAMPLES} whole numbers, found shape {array.shape}")
    if array.dtype.kind not in "iu":
        raise BadInput(f"{name}: expected whole numbers, found {array.dtype}")
    if int(array.min()) < 0 or int(array.max()) > most:
        raise BadInput(f"{name}: expected 0 to {most}, found {int(array.min())} to {int(array.max())}")
    return array.astype(np.int64)


def _words(values: NDArray[np.int64] | NDArray[np.uint64]) -> Rows:
    """[n] ints as [n, 32] big-endian words."""
    table = np.zeros((len(values), 4), dtype=">u8")
    table[:, 3] = values
    return table.view(np.uint8)


def _columns(prefix: bytes, *columns: Rows) -> Rows:
    """The same prefix and then the columns, side by side."""
    first = np.broadcast_to(np.frombuffer(prefix, dtype=np.uint8), (len(columns[0]), len(prefix)))
    return np.concatenate((first, *columns), axis=1)


def _even(level: Rows, padding: Hash32) -> Rows:
    """A level with a padding node if it has none to pair its last node with."""
    if len(level) % 2 == 0:
        return level
    return np.concatenate((level, np.frombuffer(padding, dtype=np.uint8)[None]))


def _check_index(i: int, count: int) -> None:
    if not 0 <= i < count:
        raise BadInput(f"sample: expected 0 to {count - 1}, found {i}")

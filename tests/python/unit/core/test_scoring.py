"""Label and prediction trees agree with a plain reading of section 11, and bad scores are refused."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from dlbc.core.errors import BadInput
from dlbc.core.scoring import (
    LabelTree,
    PredictionTree,
    decisive,
    decode_predictions,
    encode_predictions,
    label_root,
    meets,
    predictions_bytes,
    predictions_root,
    score_ppm,
    top1_scores,
)
from dlbc.core.types import Hash32
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

DIGEST = Hash32(b"\x11" * 32)
LABELS = st.lists(st.integers(0, 2**31), min_size=1, max_size=70)
PREDICTIONS = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**24)), min_size=1, max_size=70)


def hashed(types: str, *values: Any) -> bytes:
    """keccak256 of abi.encode, by eth_abi."""
    return keccak(encode(types.split(), list(values)))


def label_node(labels: list[int], height: int, index: int) -> bytes:
    """M-2, written recursively over the padded tree."""
    if height == 0:
        return hashed("uint8 uint256", 2, labels[index]) if index < len(labels) else bytes(32)
    left, right = (label_node(labels, height - 1, 2 * index + side) for side in (0, 1))
    return hashed("uint8 bytes32 bytes32", 3, left, right)


def prediction_node(pairs: list[tuple[int, int]], height: int, index: int) -> tuple[bytes, int]:
    """M-3 and M-4, written recursively over the padded tree."""
    if height == 0:
        if index >= len(pairs):
            return bytes(32), 0
        prediction, score = pairs[index]
        return hashed("uint8 bytes32 uint256 uint256", 0, DIGEST, prediction, score), score
    (left, left_sum), (right, right_sum) = (prediction_node(pairs, height - 1, 2 * index + side) for side in (0, 1))
    node = hashed("uint8 bytes32 uint256 bytes32 uint256", 1, left, left_sum, right, right_sum)
    return node, left_sum + right_sum


def depth(n: int) -> int:
    """ceil(log2 n)."""
    return (n - 1).bit_length()


def tree_of(pairs: list[tuple[int, int]]) -> PredictionTree:
    """The tree over (prediction, score) pairs."""
    return PredictionTree(DIGEST, [p for p, _ in pairs], [s for _, s in pairs])


# ---------------------------------------------------------------- trees


@given(labels=LABELS)
def test_label_root__any_labels__is_the_padded_tree(labels: list[int]) -> None:
    """M-2: leaf H(2, y), node H(3, l, r), padding 0."""
    assert label_node(labels, depth(len(labels)), 0) == label_root(labels)


@given(labels=LABELS, data=st.data())
def test_label_tree__path__leads_to_the_root(labels: list[int], data: st.DataObject) -> None:
    """Every label has a path of ceil(log2 n) siblings."""
    tree = LabelTree(labels)
    index = data.draw(st.integers(0, len(labels) - 1))
    path = tree.path(index)

    node = hashed("uint8 uint256", 2, labels[index])
    for height, sibling in enumerate(path):
        pair = (sibling, node) if index >> height & 1 else (node, sibling)
        node = hashed("uint8 bytes32 bytes32", 3, *pair)

    assert depth(len(labels)) == len(path)
    assert tree.root == node


@given(pairs=PREDICTIONS)
def test_prediction_tree__any_predictions__is_the_padded_sum_tree(pairs: list[tuple[int, int]]) -> None:
    """M-3 to M-5: both child sums are hashed, and the root binds proof, n and total."""
    tree = tree_of(pairs)

    h_top, total = prediction_node(pairs, depth(len(pairs)), 0)

    assert (h_top, total) == (tree.h_top, tree.total)
    expected = hashed("uint8 bytes32 uint256 bytes32 uint256", 4, DIGEST, len(pairs), h_top, total)
    assert expected == tree.root(len(pairs)) == predictions_root(DIGEST, len(pairs), Hash32(h_top), total)


@given(pairs=PREDICTIONS, data=st.data())
def test_prediction_tree__path__leads_to_top_hash_and_total(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    """Every leaf has a path whose hashes and sums give hTop and the total."""
    tree = tree_of(pairs)
    index = data.draw(st.integers(0, len(pairs) - 1))
    path = tree.path(index)

    node, total = prediction_node(pairs, 0, index)
    for height, level in enumerate(path):
        assert total == level.own_sum
        pair = [(node, total), (level.hash, level.sum)]
        (left, left_sum), (right, right_sum) = reversed(pair) if index >> height & 1 else pair
        node = hashed("uint8 bytes32 uint256 bytes32 uint256", 1, left, left_sum, right, right_sum)
        total += level.sum

    assert depth(len(pairs)) == len(path)
    assert (tree.h_top, tree.total) == (node, total)


@given(pairs=PREDICTIONS, data=st.data())
def test_prediction_tree__one_leaf_changed__another_root(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    """The root binds every prediction and score."""
    index = data.draw(st.integers(0, len(pairs) - 1))
    prediction, score = pairs[index]
    changed = [*pairs]
    changed[index] = data.draw(st.sampled_from([(prediction ^ 1, score), (prediction, score - 1 if score else 1)]))

    assert tree_of(pairs).root(len(pairs)) != tree_of(changed).root(len(pairs))


def test_prediction_tree__another_proof__another_root() -> None:
    """Published predictions can't be copied into another miner's claim."""
    other = PredictionTree(Hash32(b"\x12" * 32), [1, 2], [1, 0])

    assert tree_of([(1, 1), (2, 0)]).h_top != other.h_top


def test_prediction_tree__largest_scores__sum_exactly() -> None:
    """Sums are exact ints, those of a stranger's impossible scores too."""
    assert PredictionTree(DIGEST, [0] * 1000, [2**24] * 1000).total == 1000 * 2**24
    assert PredictionTree(DIGEST, [0] * 1000, [2**32 - 1] * 1000).total == 1000 * (2**32 - 1)


def test_encode_predictions__score_above_the_limit__refused() -> None:
    """We never publish a score that no task allows (M-1), though we read what others publish."""
    with pytest.raises(BadInput, match="expected 0 to 16777216"):
        encode_predictions([1], [2**24 + 1])
    assert decode_predictions(GOOD[:-4] + b"\1\0\0\1", 2)[1].tolist() == [1, 2**24 + 1]


def test_trees__thousands_of_samples__hash_as_one_by_one() -> None:
    """Many rows are hashed side by side; the trees are the same."""
    rng = np.random.default_rng(0)
    pairs = list(zip(rng.integers(0, 10, 2_501).tolist(), rng.integers(0, 2, 2_501).tolist(), strict=True))
    labels = [label for label, _ in pairs]

    assert prediction_node(pairs, depth(len(pairs)), 0) == (tree_of(pairs).h_top, tree_of(pairs).total)
    assert label_node(labels, depth(len(labels)), 0) == label_root(labels)


def test_prediction_tree__task_with_another_n__refused() -> None:
    """The root is only given for the task's own number of samples."""
    with pytest.raises(BadInput, match="expected 3 predictions, found 2"):
        tree_of([(1, 1), (2, 0)]).root(3)


@pytest.mark.parametrize("index", [-1, 2, 3])
def test_path__no_such_sample__refused(index: int) -> None:
    """Padding leaves and negative indices have no path."""
    with pytest.raises(BadInput, match="expected 0 to 1"):
        tree_of([(1, 1), (2, 0)]).path(index)
    with pytest.raises(BadInput, match="expected 0 to 1"):
        LabelTree([1, 2]).path(index)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="empty"),
        pytest.param([[1, 2]], id="table"),
        pytest.param(3, id="scalar"),
        pytest.param([-1], id="negative"),
        pytest.param([2**63], id="too large"),
        pytest.param([2**70], id="huge"),
        pytest.param([0.5], id="fraction"),
        pytest.param([float("nan")], id="nan"),
        pytest.param([True], id="bool"),
        pytest.param(["1"], id="text"),
        pytest.param(np.array([1], dtype=object), id="objects"),
    ],
)
def test_trees__not_a_list_of_whole_numbers__refused(values: Any) -> None:
    """Only one-dimensional, non-negative, bounded ints are hashed."""
    with pytest.raises(BadInput, match="expected"):
        LabelTree(values)
    with pytest.raises(BadInput, match="expected"):
        PredictionTree(DIGEST, values, [0])
    with pytest.raises(BadInput, match="expected"):
        top1_scores(values, [0])


@pytest.mark.parametrize(("predictions", "scores"), [([1, 2], [1]), ([2**32], [1]), ([1], [2**32])])
def test_prediction_tree__out_of_bounds__refused(predictions: list[int], scores: list[int]) -> None:
    """What does not fit a predictions file has no tree; one score a prediction (M-1)."""
    with pytest.raises(BadInput, match="expected"):
        PredictionTree(DIGEST, predictions, scores)
    with pytest.raises(BadInput, match="expected"):
        encode_predictions(predictions, scores)


def test_trees__ten_thousand_samples__well_under_a_second() -> None:
    """A usual test set costs a fraction of a second of processor time."""
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 10, (2, 10_000))

    start = time.process_time()
    PredictionTree(DIGEST, predictions, top1_scores(predictions, labels)).root(10_000)

    assert time.process_time() - start < 1.0


# ---------------------------------------------------------------- scores


def test_top1_scores__predictions_and_labels__one_where_equal() -> None:
    """s = 1 iff p = y."""
    assert top1_scores([3, 1, 0], np.array([3, 2, 0], dtype=np.int64)).tolist() == [1, 0, 1]


def test_top1_scores__another_number_of_labels__refused() -> None:
    """A single label is never spread over all predictions."""
    with pytest.raises(BadInput, match="expected 1 predictions"):
        top1_scores([1, 2], [1])


@given(n=st.integers(1, 2**32), maximum=st.integers(1, 2**24), required=st.integers(0, 1_000_000), data=st.data())
def test_meets__any_total__iff_the_exact_share_is_reached(
    n: int, maximum: int, required: int, data: st.DataObject
) -> None:
    """P-42: no rounding decides who qualifies; the display score rounds down (M-1)."""
    border = required * n * maximum // 1_000_000
    total = data.draw(st.integers(max(0, border - 2), min(n * maximum, border + 2)))

    assert (Fraction(total, n * maximum) >= Fraction(required, 1_000_000)) == meets(total, required, n, maximum)
    assert int(Fraction(total, n * maximum) * 1_000_000) == score_ppm(total, n, maximum)


# ---------------------------------------------------------------- predictions file


@given(pairs=PREDICTIONS)
def test_predictions_file__any_predictions__comes_back(pairs: list[tuple[int, int]]) -> None:
    """The file gives back both lists, and its size is known beforehand."""
    predictions, scores = [p for p, _ in pairs], [s for _, s in pairs]

    data = encode_predictions(predictions, scores)

    assert predictions_bytes(len(pairs)) == len(data)
    found = decode_predictions(data, len(pairs))
    assert (predictions, scores) == (found[0].tolist(), found[1].tolist())


def test_encode_predictions__two_samples__exact_layout() -> None:
    """Magic, n, predictions, scores; uint32 little-endian."""
    expected = b"DLBCPRD1" + bytes.fromhex("02000000 03000000 0a000000 01000000 00000001".replace(" ", ""))

    assert expected == encode_predictions([3, 10], [1, 2**24])


GOOD = encode_predictions([3, 10], [1, 0])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:-1], id="cut"),
        pytest.param(GOOD + b"\0", id="one more"),
        pytest.param(b"DLBCPRD2" + GOOD[8:], id="magic"),
        pytest.param(GOOD[:8] + b"\3" + GOOD[9:], id="n inside differs"),
        pytest.param(encode_predictions([1, 2, 3], [0, 0, 0]), id="three samples"),
    ],
)
def test_decode_predictions__hostile__refused(data: bytes) -> None:
    """Anything but exactly n predictions and n scores is refused in one sentence."""
    with pytest.raises(BadInput, match="expected"):
        decode_predictions(data, 2)


def test_decisive__near_tie_or_clear_or_no_such_class__only_beyond_the_share() -> None:
    """M-8: a thousandth of the logits' range decides; at it and below nothing is contradicted."""
    logits = np.array([[0.0, 10.0, 9.9]] * 3 + [[0.0, 1024.0, 1022.9765625]] * 2 + [[1.0, 1.0, 1.0]], np.float32)
    logits[4, 2] = 1022.5
    predictions = np.array([1, 2, 3, 2, 2, 0])
    assert decisive(logits, predictions).tolist() == [False, True, True, False, True, False]


def test_decisive__logits_that_overflow__contradict_like_others() -> None:
    """A model of huge weights can't hide behind infinity and NaN, which compare with nothing."""
    most, inf, nan = float(np.finfo(np.float32).max), np.inf, np.nan
    logits = np.array(
        [[inf, 0, -inf], [inf, inf, 0], [nan, 0, 0], [nan, nan, nan], [-inf, -inf, 0], [most, -most, 0]], np.float32
    )
    assert decisive(logits, np.full(6, 1)).tolist() == [True, False, True, False, True, True]
    assert decisive(logits, np.full(6, 0)).tolist() == [False, False, False, False, True, False]

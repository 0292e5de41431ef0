"""Finding and checking what proves a claim false by its own predictions (M-6), and what to demand of it (M-7).

The checks are those of contracts/libraries/RefutationLib.sol. What an honest miner publishes is never refuted; of what
a dishonest one publishes, either a fault can be proved at once, or a leaf can be demanded whose answer shows more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlbc.core import proofs, scoring
from dlbc.core.errors import BadInput
from dlbc.core.events import PredictionShown
from dlbc.core.types import METRIC_TOP1, Fault, Hash32, LabelProof, PredictionLeaf, SumNode, TestSet


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """What a claim is held to: its own words, and the test set that was committed."""

    proof_digest: Hash32
    h_top: Hash32
    total: int
    test_set: TestSet


@dataclass(frozen=True, slots=True)
class Refutation:
    """A provable fault: the arguments of refute(). `label` is given where the fault needs it."""

    fault: Fault
    index: int
    leaf: PredictionLeaf
    path: tuple[SumNode, ...]
    label: LabelProof | None


@dataclass(frozen=True, slots=True)
class Demand:
    """A leaf to demand: what was published is not what was claimed, and the answer will show more."""

    index: int


# ---------------------------------------------------------------- checking one leaf


def depth(n: int) -> int:
    """Length of every path of a tree over n samples: log2 n, rounded up."""
    return (n - 1).bit_length()


def real_leaves(n: int, height: int, j: int) -> int:
    """Samples below node j of a level; what is left of its 2^height leaves is padding."""
    return min(max(n - (j << height), 0), 1 << height)


def top_of_path(proof_digest: Hash32, index: int, leaf: PredictionLeaf, path: Sequence[SumNode]) -> Hash32:
    """The top hash that a leaf and its path give, whatever sums they state."""
    node = scoring.prediction_leaf(proof_digest, leaf)
    for height, level in enumerate(path):
        if index >> height & 1:
            node = scoring.prediction_node(level.hash, level.sum, node, level.own_sum)
        else:
            node = scoring.prediction_node(node, level.own_sum, level.hash, level.sum)
    return node


def label_root_of_path(index: int, label: int, path: Sequence[Hash32]) -> Hash32:
    """The labels root that a label and its path give."""
    node = scoring.label_leaf(label)
    for height, sibling in enumerate(path):
        left, right = (sibling, node) if index >> height & 1 else (node, sibling)
        node = scoring.label_node(left, right)
    return node


def is_of_claim(claim: ClaimFacts, index: int, leaf: PredictionLeaf, path: Sequence[SumNode]) -> bool:
    """Whether a leaf with this path is in the claim's tree at this index, padding included."""
    length = depth(claim.test_set.samples)
    if len(path) != length or not 0 <= index < 1 << length:
        return False
    return top_of_path(claim.proof_digest, index, leaf, path) == claim.h_top


def is_of_test_set(test_set: TestSet, test_commitment: Hash32, index: int, proof: LabelProof) -> bool:
    """Whether a label is the committed one of this index."""
    return (
        proofs.test_commitment(proof.test_set) == test_commitment
        and len(proof.path) == depth(test_set.samples)
        and label_root_of_path(index, proof.label, proof.path) == proof.test_set.labels_root
    )


def fault_of(claim: ClaimFacts, index: int, leaf: PredictionLeaf, path: Sequence[SumNode], label: int | None) -> Fault:
    """What a leaf of the claim's tree proves, the structure first. Assumes is_of_claim and a committed label."""
    test_set = claim.test_set
    if _has_wrong_sum(claim, index, leaf, path):
        return Fault.WRONG_SUM
    if index >= test_set.samples:
        return Fault.PADDING
    is_top1 = test_set.metric == METRIC_TOP1
    if leaf.score > test_set.max_sample_score or (is_top1 and leaf.prediction >= test_set.classes):
        return Fault.OUT_OF_RANGE
    if is_top1 and label is not None and leaf.score != (leaf.prediction == label):
        return Fault.WRONG_SCORE
    return Fault.NONE


def _has_wrong_sum(claim: ClaimFacts, index: int, leaf: PredictionLeaf, path: Sequence[SumNode]) -> bool:
    n, most = claim.test_set.samples, claim.test_set.max_sample_score
    expected = leaf.score
    for height, level in enumerate(path):
        own, sibling = index >> height, (index >> height) ^ 1
        if (
            level.own_sum != expected
            or level.own_sum > most * real_leaves(n, height, own)
            or level.sum > most * real_leaves(n, height, sibling)
        ):
            return True
        expected = level.own_sum + level.sum
    return expected != claim.total


# ---------------------------------------------------------------- finding a fault


def find_refutation(
    claim: ClaimFacts,
    predictions: NDArray[np.int64],
    scores: NDArray[np.int64],
    labels: NDArray[np.int64],
    shown: Sequence[PredictionShown] = (),
) -> Refutation | Demand | None:
    """The cheapest provable fault of a claim, else the leaf to demand next, else None: nothing can be proved.

    predictions, scores: as published, [n] each; labels: as committed, [n]. shown: answers to demands so far. A fault
    that needs no label comes first, because its proof is shorter. Raises BadInput for lists that are not n long.
    """
    for name, values in (("predictions", predictions), ("scores", scores), ("labels", labels)):
        if len(values) != claim.test_set.samples:
            raise BadInput(f"{name}: expected {claim.test_set.samples}, one a sample; found {len(values)}")
    found = _fault_in_answers(claim, labels, shown)
    if found is not None:
        return found
    tree = scoring.PredictionTree(claim.proof_digest, predictions, scores)
    suspect = first_fault(claim, tree.total, predictions, scores, labels)
    if tree.h_top != claim.h_top:
        return _next_demand(claim, tree, suspect, shown)
    if suspect is None:
        return None
    leaf = PredictionLeaf(int(predictions[suspect]), int(scores[suspect]))
    return _refutation(claim, suspect, leaf, tree.path(suspect), labels)


def first_fault(
    claim: ClaimFacts,
    sum_of_scores: int,
    predictions: NDArray[np.int64],
    scores: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> int | None:
    """The first sample whose published score is at fault, those that need no label first; None = all are right."""
    test_set = claim.test_set
    if sum_of_scores != claim.total:
        return 0
    is_top1 = test_set.metric == METRIC_TOP1
    bad = scores > test_set.max_sample_score
    if is_top1:
        bad |= predictions >= test_set.classes
    if not bad.any() and is_top1:
        bad = scores != (predictions == labels)
    return int(np.argmax(bad)) if bad.any() else None


def _fault_in_answers(
    claim: ClaimFacts, labels: NDArray[np.int64], shown: Sequence[PredictionShown]
) -> Refutation | None:
    for answer in shown:
        if is_of_claim(claim, answer.index, answer.leaf, answer.path):
            found = _refutation(claim, answer.index, answer.leaf, answer.path, labels)
            if found is not None:
                return found
    return None


def _refutation(
    claim: ClaimFacts, index: int, leaf: PredictionLeaf, path: tuple[SumNode, ...], labels: NDArray[np.int64]
) -> Refutation | None:
    # padding has no label, and needs none
    fault = fault_of(claim, index, leaf, path, int(labels[index]) if index < len(labels) else None)
    if fault is Fault.NONE:
        return None
    proof = None
    if fault is Fault.WRONG_SCORE:
        proof = LabelProof(claim.test_set, int(labels[index]), scoring.LabelTree(labels).path(index))
    return Refutation(fault, index, leaf, path, proof)


def _next_demand(
    claim: ClaimFacts, tree: scoring.PredictionTree, suspect: int | None, shown: Sequence[PredictionShown]
) -> Demand | None:
    """Every answer shows the claimed hash and sum of one subtree a level. One that differs from what was published and
    of which no leaf was shown yet is asked into; the smallest first, so that each answer narrows what is left.
    """
    n = claim.test_set.samples
    if not shown:
        return Demand(suspect or 0)
    asked = [answer.index for answer in shown]
    for height in range(depth(n)):
        for answer in shown:
            j = (answer.index >> height) ^ 1
            differs = (answer.path[height].hash, answer.path[height].sum) != tree.node(height, j)
            if differs and real_leaves(n, height, j) and not any(index >> height == j for index in asked):
                return Demand(j << height)
    return None

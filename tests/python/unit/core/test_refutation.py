"""An honest claim is never refuted; a false one always is, or a leaf can be demanded of it whose answer shows why."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from dlbc.core import proofs, refutation, scoring
from dlbc.core.errors import BadInput
from dlbc.core.events import PredictionShown
from dlbc.core.refutation import ClaimFacts, Demand, Refutation, fault_of, find_refutation, is_of_claim, is_of_test_set
from dlbc.core.types import (
    METRIC_TOP1,
    ZERO_ADDRESS,
    ZERO_HASH,
    Fault,
    Hash32,
    LabelProof,
    Locator,
    PredictionLeaf,
    SumNode,
    TaskId,
    TestSet,
)
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

DIGEST = Hash32(b"\x11" * 32)
CLASSES = 5
LABELS = st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=40)


def committed(labels: list[int], maximum: int = 1, metric: int = METRIC_TOP1) -> TestSet:
    """The committed test set of these labels."""
    return TestSet(
        sealed_locator=Locator(ZERO_HASH),
        plaintext_hash=ZERO_HASH,
        key_hash=ZERO_HASH,
        samples=len(labels),
        max_sample_score=maximum,
        classes=CLASSES,
        metric=metric,
        labels_root=scoring.label_root(labels),
    )


@dataclass
class Forged:
    """A tree as a dishonest miner may build it: any leaves, padding included, and any stated sums."""

    leaves: dict[int, tuple[int, int]]
    n: int
    sums: dict[tuple[int, int], int] = field(default_factory=dict)  # (height, position) -> what its parent states

    def node(self, height: int, j: int) -> tuple[Hash32, int]:
        """Hash of a node, and its sum as its parent states it."""
        if height == 0:
            prediction, score = self.leaves.get(j, (0, 0))
            found = (ZERO_HASH, 0)
            if j in self.leaves:
                found = (scoring.prediction_leaf(DIGEST, PredictionLeaf(prediction, score)), score)
        else:
            left, right = self.node(height - 1, 2 * j), self.node(height - 1, 2 * j + 1)
            found = (scoring.prediction_node(*left, *right), left[1] + right[1])
        return found[0], self.sums.get((height, j), found[1])

    @property
    def depth(self) -> int:
        return refutation.depth(self.n)

    def facts(self, test_set: TestSet, total: int | None = None) -> ClaimFacts:
        """The claim that this tree goes with."""
        h_top, sum_ = self.node(self.depth, 0)
        return ClaimFacts(DIGEST, h_top, sum_ if total is None else total, test_set)

    def path(self, index: int) -> tuple[SumNode, ...]:
        """What an answer has to show."""
        return tuple(
            SumNode(*self.node(height, (index >> height) ^ 1), self.node(height, index >> height)[1])
            for height in range(self.depth)
        )

    def shown(self, index: int) -> PredictionShown:
        """An answer to a demand."""
        leaf = PredictionLeaf(*self.leaves.get(index, (0, 0)))
        return PredictionShown(TaskId(1), 0, ZERO_ADDRESS, ZERO_ADDRESS, index, leaf, self.path(index))


def forged(predictions: list[int], scores: list[int], **sums: Any) -> Forged:
    """A tree over these, with nothing else wrong."""
    return Forged(dict(enumerate(zip(predictions, scores, strict=True))), len(predictions), **sums)


def claim_of(predictions: list[int], scores: list[int], test_set: TestSet) -> ClaimFacts:
    """The claim that an honest client would make of these."""
    tree = scoring.PredictionTree(DIGEST, predictions, scores)
    return ClaimFacts(DIGEST, tree.h_top, tree.total, test_set)


def find(
    claim: ClaimFacts, predictions: list[int], scores: list[int], labels: list[int], shown: Any = ()
) -> Refutation | Demand | None:
    """find_refutation of plain lists."""
    return find_refutation(
        claim, *(np.array(values, dtype=np.int64) for values in (predictions, scores, labels)), shown
    )


def proves(claim: ClaimFacts, found: Refutation) -> bool:
    """What the pool's contract would do with it."""
    label = None
    if found.label is not None:
        commitment = proofs.test_commitment(claim.test_set)
        assert is_of_test_set(claim.test_set, commitment, found.index, found.label)
        label = found.label.label
    assert is_of_claim(claim, found.index, found.leaf, found.path)
    return fault_of(claim, found.index, found.leaf, found.path, label) is found.fault is not Fault.NONE


# ---------------------------------------------------------------- whole claims


@given(labels=LABELS, data=st.data())
def test_find_refutation__honest_claim__nothing(labels: list[int], data: st.DataObject) -> None:
    """M-6: whatever the model predicts, right scores are never refuted, nor demanded."""
    predictions = [data.draw(st.integers(0, CLASSES - 1)) for _ in labels]
    scores = scoring.top1_scores(predictions, labels).tolist()
    claim = claim_of(predictions, scores, committed(labels))

    assert find(claim, predictions, scores, labels) is None
    tree = scoring.PredictionTree(DIGEST, predictions, scores)
    for index, label in enumerate(labels):
        leaf = PredictionLeaf(predictions[index], scores[index])
        assert is_of_claim(claim, index, leaf, tree.path(index))
        assert fault_of(claim, index, leaf, tree.path(index), label) is Fault.NONE


@given(labels=LABELS, data=st.data())
def test_find_refutation__one_flipped_score__refuted_with_its_label(labels: list[int], data: st.DataObject) -> None:
    """M-6 (a): one score that does not follow from prediction and label costs the deposit."""
    predictions = [data.draw(st.integers(0, CLASSES - 1)) for _ in labels]
    scores = scoring.top1_scores(predictions, labels).tolist()
    index = data.draw(st.integers(0, len(labels) - 1))
    scores[index] ^= 1
    claim = claim_of(predictions, scores, committed(labels))

    found = find(claim, predictions, scores, labels)

    assert isinstance(found, Refutation)
    assert (found.fault, found.index) == (Fault.WRONG_SCORE, index)
    assert proves(claim, found)


@given(labels=LABELS, data=st.data())
def test_find_refutation__score_or_class_out_of_range__refuted_without_a_label(
    labels: list[int], data: st.DataObject
) -> None:
    """M-6 (b): an impossible score or class is found before a wrong one, because its proof is shorter."""
    predictions = [data.draw(st.integers(0, CLASSES - 1)) for _ in labels]
    scores = scoring.top1_scores(predictions, labels).tolist()
    scores[0] ^= 1
    index = data.draw(st.integers(0, len(labels) - 1))
    if data.draw(st.booleans()):
        predictions[index] = data.draw(st.integers(CLASSES, 2**32 - 1))
    else:
        scores[index] = data.draw(st.integers(2, 2**32 - 1))
    claim = claim_of(predictions, scores, committed(labels))

    found = find(claim, predictions, scores, labels)

    assert isinstance(found, Refutation)
    assert found.fault in (Fault.OUT_OF_RANGE, Fault.WRONG_SUM)
    assert (found.index, found.label) == (index, None)
    assert proves(claim, found)


@given(labels=LABELS, more=st.integers(1, 10))
def test_find_refutation__total_is_not_the_sum__refuted_by_any_leaf(labels: list[int], more: int) -> None:
    """M-6 (c): the top's sum is the claimed total."""
    scores = [1] * len(labels)
    claim = claim_of(labels, scores, committed(labels))
    claim = replace(claim, total=claim.total + more)

    found = find(claim, labels, scores, labels)

    assert isinstance(found, Refutation)
    assert found.fault is Fault.WRONG_SUM
    assert proves(claim, found)


@given(labels=st.lists(st.integers(0, CLASSES - 1), min_size=2, max_size=40), data=st.data())
def test_find_refutation__a_sum_was_raised__demands_lead_to_it(labels: list[int], data: st.DataObject) -> None:
    """M-7: honest leaves under a false sum are published; each answer narrows it down until one refutes."""
    n = len(labels)
    predictions = [(label + 1) % CLASSES for label in labels]
    scores = [0] * n
    height = data.draw(st.integers(0, refutation.depth(n) - 1))
    j = data.draw(st.integers(0, (n - 1) >> height))
    tree = forged(predictions, scores, sums={(height, j): data.draw(st.integers(1, 3))})
    claim = tree.facts(committed(labels))

    shown: list[PredictionShown] = []
    found = find(claim, predictions, scores, labels)
    while isinstance(found, Demand) and len(shown) <= refutation.depth(n):
        assert found.index not in [answer.index for answer in shown]
        shown.append(tree.shown(found.index))
        found = find(claim, predictions, scores, labels, shown)

    assert isinstance(found, Refutation)
    assert found.fault is Fault.WRONG_SUM
    assert proves(claim, found)


@given(labels=LABELS, data=st.data())
def test_find_refutation__another_leaf_published_than_claimed__found_by_demands(
    labels: list[int], data: st.DataObject
) -> None:
    """M-7: a false score in the claim stays false though the published file hides it."""
    scores = [1] * len(labels)
    claimed = [*scores]
    predictions = [*labels]
    index = data.draw(st.integers(0, len(labels) - 1))
    predictions[index] = (labels[index] + 1) % CLASSES
    tree = forged(predictions, claimed)
    claim = tree.facts(committed(labels))
    published = scoring.top1_scores(predictions, labels).tolist()

    shown: list[PredictionShown] = []
    found = find(claim, predictions, published, labels)
    while isinstance(found, Demand) and len(shown) <= refutation.depth(len(labels)):
        shown.append(tree.shown(found.index))
        found = find(claim, predictions, published, labels, shown)

    assert isinstance(found, Refutation)
    assert (found.fault, found.index) == (Fault.WRONG_SCORE, index)
    assert proves(claim, found)


def test_find_refutation__suspicious_sample_in_a_file_that_does_not_hash__is_demanded_first() -> None:
    """The demand asks for what looks false already."""
    labels = [0, 1, 2, 3]
    claim = claim_of(labels, [1, 1, 1, 1], committed(labels))

    assert find(replace(claim, total=3), labels, [1, 1, 0, 1], labels) == Demand(2)


def test_find_refutation__every_differing_part_was_shown_in_order__nothing() -> None:
    """A file that differs from a claim that is right proves nothing against the claim."""
    labels = [0, 1, 2, 3]
    tree = forged(labels, [1, 1, 1, 1])
    claim = tree.facts(committed(labels))
    published = [0, 1, 2, 4]

    first = find(claim, published, [1, 1, 1, 0], labels)
    assert first == Demand(0)
    assert find(claim, published, [1, 1, 1, 0], labels, [tree.shown(0)]) == Demand(2)
    assert find(claim, published, [1, 1, 1, 0], labels, [tree.shown(0), tree.shown(2)]) == Demand(3)
    assert find(claim, published, [1, 1, 1, 0], labels, [tree.shown(i) for i in (0, 2, 3)]) is None


@pytest.mark.parametrize("short", [0, 1, 2])
def test_find_refutation__lists_of_other_lengths__refused(short: int) -> None:
    """Predictions, scores and labels are one a sample."""
    lists = [[0, 1, 2]] * 3
    claim = claim_of([0, 1, 2], [1, 1, 1], committed([0, 1, 2]))
    lists[short] = [0, 1]

    with pytest.raises(BadInput, match="expected 3, one a sample; found 2"):
        find(claim, *lists)


def test_find_refutation__general_metric__scores_are_not_compared_with_labels() -> None:
    """M-10: only classification ties a score to prediction and label; ranges and sums hold for all."""
    labels = [7, 8, 9]
    test_set = committed(labels, maximum=100, metric=2)
    claim = claim_of([2**31, 1, 2], [100, 0, 50], test_set)
    too_high = claim_of([0, 1, 2], [101, 0, 50], test_set)

    assert find(claim, [2**31, 1, 2], [100, 0, 50], labels) is None
    found = find(too_high, [0, 1, 2], [101, 0, 50], labels)
    assert isinstance(found, Refutation)
    assert proves(too_high, found)


def test_first_fault__a_million_samples__in_a_fraction_of_a_second() -> None:
    """Finding the fault is vectorised; the rest of the time goes into hashing the tree."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 1_000_000)
    scores = np.ones(1_000_000, dtype=np.int64)
    scores[999_999] = 0
    claim = ClaimFacts(DIGEST, ZERO_HASH, 999_999, replace(committed([0]), samples=1_000_000, classes=10))

    start = time.process_time()
    found = refutation.first_fault(claim, 999_999, labels, scores, labels)

    assert found == 999_999
    assert time.process_time() - start < 1.0


# ---------------------------------------------------------------- single leaves


def test_fault_of__leaf_beyond_the_samples__padding() -> None:
    """M-6 (d): what lies at or beyond n has to be padding, even if it adds nothing."""
    labels = [0, 1, 2]
    tree = forged(labels, [1, 1, 1])
    tree.leaves[3] = (4, 0)
    claim = tree.facts(committed(labels))
    leaf = PredictionLeaf(4, 0)

    assert is_of_claim(claim, 3, leaf, tree.path(3))
    assert fault_of(claim, 3, leaf, tree.path(3), None) is Fault.PADDING


def test_fault_of__score_beyond_the_samples__wrong_sum() -> None:
    """M-6 (c): no sum exceeds M x the real leaves below it, so padding adds nothing."""
    labels = [0, 1, 2]
    tree = forged(labels, [1, 1, 0])
    tree.leaves[3] = (4, 1)
    claim = tree.facts(committed(labels))

    assert fault_of(claim, 3, PredictionLeaf(4, 1), tree.path(3), None) is Fault.WRONG_SUM
    # it shows in its neighbour's path too
    assert fault_of(claim, 2, PredictionLeaf(2, 0), tree.path(2), 2) is Fault.WRONG_SUM


def test_fault_of__one_sample__the_leaf_is_the_top() -> None:
    """n = 1 has no path: score and total are compared directly."""
    claim = claim_of([3], [1], committed([3]))

    assert is_of_claim(claim, 0, PredictionLeaf(3, 1), ())
    assert fault_of(claim, 0, PredictionLeaf(3, 1), (), 3) is Fault.NONE
    assert fault_of(replace(claim, total=0), 0, PredictionLeaf(3, 1), (), 3) is Fault.WRONG_SUM
    assert fault_of(claim, 0, PredictionLeaf(3, 1), (), 4) is Fault.WRONG_SCORE


@given(labels=st.lists(st.integers(0, CLASSES - 1), min_size=2, max_size=40), data=st.data())
def test_is_of_claim__anything_changed__does_not_lead_to_the_top(labels: list[int], data: st.DataObject) -> None:
    """M-4: leaf, index, hashes and both sums of every level are bound."""
    scores = [1] * len(labels)
    tree = scoring.PredictionTree(DIGEST, labels, scores)
    claim = claim_of(labels, scores, committed(labels))
    index = data.draw(st.integers(0, len(labels) - 1))
    leaf, path = PredictionLeaf(labels[index], 1), list(tree.path(index))
    level = data.draw(st.integers(0, len(path) - 1))
    node = path[level]
    change = data.draw(st.integers(0, 4))
    if change == 0:
        leaf = replace(leaf, prediction=leaf.prediction + 1)
    elif change == 1:
        leaf = replace(leaf, score=0)
    else:
        changes = (
            replace(node, hash=Hash32(b"\x01" * 32)),
            replace(node, sum=node.sum + 1),
            replace(node, own_sum=node.own_sum + 1),
        )
        path[level] = changes[change - 2]

    assert not is_of_claim(claim, index, leaf, path)


@pytest.mark.parametrize(("index", "cut"), [(-1, 0), (4, 0), (0, 1)])
def test_is_of_claim__no_such_place__false(index: int, cut: int) -> None:
    """A path has one step a level, and no place is outside the tree."""
    tree = scoring.PredictionTree(DIGEST, [0, 1, 2], [1, 1, 1])
    claim = claim_of([0, 1, 2], [1, 1, 1], committed([0, 1, 2]))
    path = tree.path(0)

    assert is_of_claim(claim, 0, PredictionLeaf(0, 1), path)
    assert not is_of_claim(claim, index, PredictionLeaf(0, 1), path[cut:])


@given(labels=LABELS, data=st.data())
def test_is_of_test_set__label__only_the_committed_one(labels: list[int], data: st.DataObject) -> None:
    """M-2: the label path binds index and label; the test set is the committed one."""
    test_set, index = committed(labels), data.draw(st.integers(0, len(labels) - 1))
    commitment = proofs.test_commitment(test_set)
    proof = LabelProof(test_set, labels[index], scoring.LabelTree(labels).path(index))

    assert is_of_test_set(test_set, commitment, index, proof)
    assert not is_of_test_set(test_set, commitment, index, replace(proof, label=labels[index] + 1))
    assert not is_of_test_set(test_set, commitment, index, replace(proof, path=(*proof.path, ZERO_HASH)))
    assert not is_of_test_set(test_set, ZERO_HASH, index, proof)
    other = replace(test_set, labels_root=ZERO_HASH)
    assert not is_of_test_set(test_set, commitment, index, replace(proof, test_set=other))


@pytest.mark.parametrize(
    ("n", "height", "j", "expected"),
    [(5, 0, 4, 1), (5, 0, 5, 0), (5, 1, 2, 1), (5, 2, 1, 1), (5, 2, 0, 4), (5, 3, 0, 5), (5, 1, 3, 0), (1, 0, 0, 1)],
)
def test_real_leaves__node__those_that_are_samples(n: int, height: int, j: int, expected: int) -> None:
    """M-6 (c): padding is no sample."""
    assert refutation.real_leaves(n, height, j) == expected


@pytest.mark.parametrize(("n", "depth"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (2**20, 20), (2**20 + 1, 21)])
def test_depth__samples__log2_rounded_up(n: int, depth: int) -> None:
    """M-1."""
    assert refutation.depth(n) == depth

"""Which published slots are tried on a suspect, in what order, and what the many tests make of the odds."""

from __future__ import annotations

import numpy as np
import pytest
from dlbc.core import copying, watermark
from dlbc.core.architecture import Architecture, parameters, tensor_shapes
from dlbc.core.copying import Reading, Slot
from dlbc.core.hashing import keccak
from dlbc.core.types import Address, TaskId
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

MINER = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")


def slot(task: int, number: int = 0, since: int | None = None) -> Slot:
    """A published slot of somebody's model."""
    return Slot(TaskId(task), 0, MINER, number, keccak(f"{task} {number}".encode()), since)


def payload(slot: Slot) -> bytes:
    """What its model carries."""
    return watermark.payload(1, MINER, slot.task_id, slot.round, slot.miner, slot.slot)


@given(st.integers(1, 40), st.integers(0, 3))
def test_blind__any_number_of_keys__reads_what_the_detector_reads(count: int, marked: int) -> None:
    """Batches, planes and threads change nothing: correlation, energy and order of each slot number are the same."""
    chance = np.random.default_rng(count)
    weights = {"linears.0.weight": chance.standard_normal((40, 1700), dtype=np.float32)}
    slots = [slot(task, task % 3) for task in range(count)]
    if marked < count and slots[marked].slot < 2:
        watermark.embed(weights, slots[marked].key, slots[marked].slot, payload(slots[marked]))
    told: list[int] = []
    found = list(copying.blind(weights, slots, payload, told.append))
    expected = []
    for number in (0, 1):  # a third slot is none of this model's
        for each in slots:
            if each.slot == number:
                read = watermark.detect(weights, each.key, number, payload(each))
                expected.append(Reading(each, read.correlation, read.energy))
    assert expected == found
    assert told == sorted(told)
    assert (told or [0])[-1] == len(expected)
    for reading in found:
        is_marked = reading.slot == slots[min(marked, count - 1)] and marked < count
        assert reading.is_found == is_marked


def test_blind__model_too_small_to_be_read__makes_no_test() -> None:
    """Below 8,000 carriers nobody's mark is looked for (P-91)."""
    weights = {"linears.0.weight": np.ones((4, 100), np.float32)}
    assert list(copying.blind(weights, [slot(1)], payload, lambda _: None)) == []


@pytest.mark.parametrize(
    ("single", "tests", "expected"),
    [(-80.0, 1, -80 + np.log2(3)), (-80.0, 2**38, -42 + np.log2(3)), (-5.0, 1000, 0.0), (0.0, 0, 0.0)],
)
def test_union__tests__add_their_logarithm(single: float, tests: int, expected: float) -> None:
    """Boole's inequality over all keys that could have been tried; no bound is above 1."""
    assert copying.union(single, tests) == pytest.approx(expected)


def test_union__every_key_of_a_large_ledger__leaves_two_to_the_minus_forty() -> None:
    """P-91: at the threshold of a blind find, 2^-40 remains over more keys than there will be."""
    at_the_threshold = Reading(slot(1), 1053 * 10**6, 10**16)
    assert at_the_threshold.is_found
    assert copying.union(at_the_threshold.log2_false_positive, 2**38) <= -38


def test_reading__aligned__needs_more_than_blind() -> None:
    """Between the two thresholds a blind find counts and an aligned one does not."""
    for is_aligned, expected in ((False, True), (True, False)):
        assert Reading(slot(1), 12 * 10**6, 10**12, is_aligned).is_found is expected


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9) | st.none()), max_size=20), st.integers(0, 9))
def test_places__any_slots__accusers_first_then_the_newest(rows: list[tuple[int, int | None]], commit: int) -> None:
    """Each model once; who published since the commit comes before who did not, the latest first."""
    slots = [slot(task, 1, since) for task, since in rows]
    order = copying.places(slots, commit)
    assert sorted({task for task, _ in rows}) == sorted(place[0] for place in order)
    latest = {
        task: max((s for t, s in rows if t == task and s is not None and s >= commit), default=-1) for task, _ in rows
    }
    assert [place[0] for place in order] == sorted(latest, key=lambda task: (latest[task], task), reverse=True)
    accusers = sum(since >= 0 for since in latest.values())
    assert copying.to_align(slots, commit, 3) == max(3, accusers)


def test_places__commit_not_known__are_the_newest_first() -> None:
    """A file from anywhere accuses itself of nothing."""
    slots = [slot(1, 1, 7), slot(3), slot(2, 1, 9)]
    assert [place[0] for place in copying.places(slots, None)] == [3, 2, 1]
    assert copying.to_align(slots, None, 2) == 2


def test_to_align__more_accusers_than_anybody_could_look_at__ends_at_a_bound() -> None:
    """Publishing slots is cheap for whoever has many settled models."""
    slots = [slot(task, 1, 5) for task in range(1, 200)]
    assert copying.to_align(slots, 3, 16) == copying.ACCUSERS


def test_slot__opened_or_published_before_the_commit__is_not_fresh() -> None:
    """A holder of the key can have removed the mark (P-94)."""
    assert [slot(1, 1, since).is_fresh(5) for since in (None, 4, 5, 6)] == [False, False, True, True]


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture("mlp", (8, 8), 10, (32,)),
        Architecture("resnet", (1, 8, 8), 10, (), (8, 16), (1, 1)),
    ],
)
def test_trained_values__any_family__are_the_parameters_of_the_terms(architecture: Architecture) -> None:
    """Running statistics are in the file and not in the terms."""
    assert copying.trained_values(tensor_shapes(architecture)) == parameters(architecture)

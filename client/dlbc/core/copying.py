"""Whether a model is a copy: which published slot keys to try on it, in what order, and how sure a find is (P-91 to
P-94).

A find never rests on a threshold alone: what it means is decided by facts around it, which `Standing` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from math import log2, prod
from typing import Any

from numpy.typing import NDArray

from dlbc.core import watermark
from dlbc.core.layers import RUNNING
from dlbc.core.types import Address, TaskId
from dlbc.core.watermark import Weights

DEPTHS = 3
"""A tree of at most eight slots can hold keys of one slot number at three depths: each published key counts for so
many tests, because its owner might have chosen among them.
"""
ACCUSERS = 64
"""Originals whose owners published a slot since the suspect was committed are aligned beyond the limit, so many."""
BATCH = 32

Place = tuple[TaskId, int, Address]
"""Task, round and miner: who opened what."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A watermark slot whose key is public."""

    task_id: TaskId
    round: int
    miner: Address
    slot: int
    key: bytes
    since: int | None
    """The market's last commitSeq when the key was published; None: by the opening of its model."""

    @property
    def place(self) -> Place:
        """Whose it is."""
        return self.task_id, self.round, self.miner

    def is_fresh(self, commit_seq: int) -> bool:
        """Whether who committed with this number can't have known the key (P-94).

        When an opening happened is not looked up, so slot 0 never counts as fresh; it counts all the same if found.
        """
        return self.since is not None and commit_seq <= self.since


class Standing(Enum):
    """What a mark in a suspect means."""

    NOT_FOUND = "not found"
    COPY = "copy"
    ITSELF = "this model"
    SAME_MINER = "same miner"
    ANCESTOR = "declared"  # the declared parent, or one of its own
    LATER = "committed later"
    INHERITED = "in the parent"  # the declared parent has the mark as well, so the suspect did not take it
    UNPROVEN = "unproven"  # the mark is not in its owner's original, or nobody serves that


@dataclass(frozen=True, slots=True)
class Reading:
    """What one key reads from one set of weights."""

    slot: Slot
    correlation: int
    energy: int
    is_aligned: bool = False
    cosine: float = 0.0
    """How alike suspect and original are after alignment; a reason to look, never a proof."""

    @property
    def is_found(self) -> bool:
        """S >= BLIND, or OWN after alignment (P-91)."""
        return self.reaches(watermark.OWN if self.is_aligned else watermark.BLIND)

    def reaches(self, threshold: Fraction) -> bool:
        """S >= threshold, in integers."""
        return watermark.reaches(self.correlation, self.energy, threshold)

    @property
    def detection(self) -> watermark.Detection:
        """The same as the detector tells it, without single bits."""
        return watermark.Detection(self.correlation, self.energy, 0, 0)

    @property
    def strength(self) -> float:
        """S."""
        return self.detection.strength

    @property
    def log2_false_positive(self) -> float:
        """Bound for this one test."""
        return self.detection.log2_false_positive


def union(log2_false_positive: float, tests: int) -> float:
    """The bound once so many tests were made: Boole's inequality, and DEPTHS keys that each might have been."""
    return min(0.0, log2_false_positive + log2(DEPTHS * max(1, tests)))


def trained_values(shapes: Mapping[str, Sequence[int]]) -> int:
    """What a task's terms call parameters: all values but the running statistics of BatchNorm."""
    return sum(prod(shape) for name, shape in shapes.items() if name.rpartition(".")[2] not in RUNNING)


def places(slots: Iterable[Slot], commit_seq: int | None) -> list[Place]:
    """Whose originals to look at, in this order: accusers first, of those the latest; then the newest models.

    An accuser has published a slot since the suspect's commit. commit_seq None: the suspect's commit is not known.
    """
    accused: dict[Place, int] = {}
    for slot in slots:
        since = slot.since if slot.since is not None and commit_seq is not None and slot.is_fresh(commit_seq) else -1
        accused[slot.place] = max(since, accused.get(slot.place, -1))
    return sorted(accused, key=lambda place: (accused[place], place), reverse=True)


def to_align(slots: Sequence[Slot], commit_seq: int | None, limit: int) -> int:
    """How many originals to align with at most: `limit`, and every accuser up to ACCUSERS."""
    accusers = {slot.place for slot in slots if commit_seq is not None and slot.is_fresh(commit_seq)}
    return max(limit, min(len(accusers), ACCUSERS))


def blind(
    weights: Weights, slots: Sequence[Slot], payload: Callable[[Slot], bytes], report: Callable[[int], None]
) -> Iterator[Reading]:
    """Reads every slot that weights of these shapes can have: the weights are gone through once a slot number.

    weights: float32 arrays by name. `report` is told how many keys are done. Raises VerificationFailed as
    watermark.quantise.
    """
    shapes = watermark.shapes_of(weights)
    if watermark.carriers_per_slot(shapes) < watermark.MIN_CARRIERS:
        return
    done = 0
    for number in range(watermark.slot_count(shapes)):
        keys = [slot for slot in slots if slot.slot == number]
        if not keys:
            continue
        quantised = watermark.quantise(weights, number)
        turned = watermark.planes(quantised)
        del quantised

        def correlate(batch: Sequence[Slot], turned: watermark.Planes = turned) -> list[int]:
            return watermark.correlate(turned, [slot.key for slot in batch], [payload(slot) for slot in batch])

        batches = [keys[start : start + BATCH] for start in range(0, len(keys), BATCH)]
        with ThreadPoolExecutor(min(len(batches), os.cpu_count() or 1)) as threads:
            for batch, found in zip(batches, threads.map(correlate, batches), strict=True):
                done += len(batch)
                report(done)
                for slot, correlation in zip(batch, found, strict=True):
                    yield Reading(slot, correlation, turned.energy)


def aligned(
    weights: Mapping[str, NDArray[Any]], cosine: float, slots: Iterable[Slot], payload: Callable[[Slot], bytes]
) -> list[Reading]:
    """Reads the slots of one original from weights that were brought into its frame."""
    found = []
    for slot in slots:
        if slot.slot < watermark.slot_count(watermark.shapes_of(weights)):
            read = watermark.detect(weights, slot.key, slot.slot, payload(slot))
            found.append(Reading(slot, read.correlation, read.energy, True, cosine))
    return found

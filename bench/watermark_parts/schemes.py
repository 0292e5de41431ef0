"""Our mark and the baseline behind one interface: attach to a training run, finish a model, read a slot that is secret.

The baseline is Uchida et al. 2017, written from the paper's formula: with w the mean over the output filters of one
layer and X a secret normal matrix, the loss gains λ Σ BCE(σ(X w), b), λ = 0.01; bit i is read as X_i w > 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import comb, log2
from typing import Any, Protocol

import numpy as np
import torch
from dlbc.adapters.ml.embed import Projector
from dlbc.adapters.ml.training import PROJECT_EVERY
from dlbc.core import watermark
from dlbc.core.architecture import tensor_shapes
from dlbc.core.types import Address
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from watermark_parts.learner import Learner, Weights
from watermark_parts.problems import Problem

SECRET_SLOT = 1
"""Slot 0 is opened with the model; what a thief must silence is a slot that nobody has seen."""
EMBEDDED_LOG2 = -64.0
"""A mark counts as embedded when chance explains it with at most 2^-64 and no bit is wrong."""
UCHIDA_BITS = 64
UCHIDA_WEIGHT = 0.01
UCHIDA_SILENT_LOG2 = -32.0
"""The baseline gets the verifier that is easier to satisfy: 2^-32 (7 of 64 bits wrong); ours needs 2^-80 or 2^-128."""
SCHEMES = ("kss", "uchida")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reader finds. `log2_chance` bounds the false-positive probability from above; strength is our S."""

    wrong: int
    n: int
    log2_chance: float
    strength: float | None = None
    is_blind: bool = False
    """Found without the original."""
    is_aligned: bool = False
    """Would be found in weights that were brought into the original's frame."""

    @property
    def is_embedded(self) -> bool:
        return self.wrong == 0 and self.log2_chance <= EMBEDDED_LOG2


class Scheme(Protocol):
    """One owner's mark."""

    name: str

    def attach(self, learner: Learner, factor: float = 1.0) -> None:
        """Makes the run embed the mark while it trains; `factor` strengthens it."""

    def finish(self, weights: Weights, factor: float = 1.0) -> None:
        """What is done once after training, in place."""

    def read(self, weights: Mapping[str, Any]) -> Reading: ...


def scheme(name: str, problem: Problem, owner: str) -> Scheme:
    """The mark of an owner, who is a name; equal names have equal keys."""
    if name == "kss":
        return KeyedSpreadSpectrum(problem, owner)
    return Uchida(problem, owner)


def secret(*parts: object) -> bytes:
    """32 bytes that follow from what they are for."""
    return hashlib.sha256(b"dlbc bench watermark " + repr(parts).encode()).digest()


def address(owner: str) -> Address:
    return Address("0x" + secret("address", owner)[:20].hex())


class KeyedSpreadSpectrum:
    """core.watermark and adapters.ml.embed as the product uses them."""

    name = "kss"

    def __init__(self, problem: Problem, owner: str) -> None:
        shapes = tensor_shapes(problem.architecture)
        slots = range(watermark.slot_count(shapes))
        self.keys = tuple(secret("slot", owner, slot) for slot in slots)
        who = address(owner)
        self.payloads = tuple(watermark.payload(31337, who, 1, 0, who, slot) for slot in slots)

    def attach(self, learner: Learner, factor: float = 1.0) -> None:
        projector = Projector(learner.module, self.keys, self.payloads)
        projector.project()  # the start is marked, as the trainer does

        def after_step(step: int, is_last: bool) -> None:
            if is_last or step % PROJECT_EVERY == 0:
                projector.project()

        learner.after_step = after_step

    def finish(self, weights: Weights, factor: float = 1.0) -> None:
        for slot, (key, payload) in enumerate(zip(self.keys, self.payloads, strict=True)):
            if factor == 1.0:
                watermark.embed(weights, key, slot, payload)
            else:
                shift(weights, key, slot, payload, lambda sums, bound: np.maximum(factor * bound - sums, 0))

    def erase_opened(self, weights: Weights) -> None:
        """What anybody can do to slot 0 once its key is public: bring every bit's correlation to zero."""
        shift(weights, self.keys[0], 0, self.payloads[0], lambda sums, bound: -sums)

    def read(self, weights: Mapping[str, Any]) -> Reading:
        found = watermark.detect(weights, self.keys[SECRET_SLOT], SECRET_SLOT, self.payloads[SECRET_SLOT])
        return Reading(
            found.bits_wrong,
            found.n,
            found.log2_false_positive,
            found.strength,
            found.reaches(watermark.BLIND),
            found.reaches(watermark.OWN),
        )


def shift(
    weights: Weights,
    key: bytes,
    slot: int,
    payload: bytes,
    lacking: Callable[[NDArray[np.float64], float], NDArray[np.float64]],
) -> None:
    """Moves a slot's bits, in place, by the least change that adds `lacking(b·z, γ)` to each of them.

    b·z: the n correlations that `watermark.embed` speaks of, in standard deviations; in plain float64, for thieves.
    """
    bands = watermark.bands(watermark.shapes_of(weights), slot)
    views = [weights[band.name].reshape(len(weights[band.name]), -1)[band.first : band.end, 1::2] for band in bands]
    scales = [watermark.ROBUST_RMS * np.median(np.abs(view[view != 0])) if view.any() else 0.0 for view in views]
    unit = np.concatenate([(view / (scale or 1.0)).ravel() for view, scale in zip(views, scales, strict=True)])
    n, gamma = watermark.strengths(unit.size)
    signs = watermark.chips(key, unit.size) * np.resize(watermark.payload_bits(payload, n), unit.size)
    clipped = np.clip(unit.astype(np.float64), -watermark.CLIP_RMS, watermark.CLIP_RMS)
    rms = float(np.sqrt(np.mean(clipped**2)))
    index = np.arange(unit.size) % n
    roots = np.sqrt(np.bincount(index, minlength=n))
    sums = np.bincount(index, clipped * signs, minlength=n) / (roots * rms)
    change = (rms * lacking(sums, gamma) / roots)[index] * signs
    start = 0
    for view, scale in zip(views, scales, strict=True):
        view += (change[start : start + view.size].reshape(view.shape) * scale).astype(np.float32)
        start += view.size


class Uchida:
    """The baseline; one layer, one key, no slots."""

    name = "uchida"

    def __init__(self, problem: Problem, owner: str) -> None:
        self._target = problem.setting.target
        self._columns = int(np.prod(tensor_shapes(problem.architecture)[self._target][1:]))
        self._seed = int.from_bytes(secret("uchida", owner)[:8], "big")

    @cached_property
    def _key(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(X [n, columns], bits [n] of 0 and 1)."""
        random = np.random.default_rng(self._seed)
        projection = random.standard_normal((UCHIDA_BITS, self._columns), dtype=np.float32)
        return projection, random.integers(0, 2, UCHIDA_BITS).astype(np.float32)

    def attach(self, learner: Learner, factor: float = 1.0) -> None:
        parameter = dict(learner.module.named_parameters())[self._target]
        projection, bits = (torch.from_numpy(part).to(parameter.device) for part in self._key)

        def penalty(module: nn.Module) -> Tensor:
            read = projection @ parameter.mean(0).flatten()
            return factor * UCHIDA_WEIGHT * functional.binary_cross_entropy_with_logits(read, bits, reduction="sum")

        learner.penalty = penalty

    def finish(self, weights: Weights, factor: float = 1.0) -> None:
        """Nothing: the mark is there when the training has put it there."""

    def read(self, weights: Mapping[str, Any]) -> Reading:
        projection, bits = self._key
        mean = np.asarray(weights[self._target], np.float64).mean(0).ravel()
        wrong = int(np.count_nonzero((projection @ mean > 0) != (bits > 0)))
        chance = log2_binomial_tail(UCHIDA_BITS, wrong)
        found = chance <= UCHIDA_SILENT_LOG2
        return Reading(wrong, UCHIDA_BITS, chance, None, found, found)


def log2_binomial_tail(n: int, wrong: int) -> float:
    """log2 of the probability that n fair coins show at most `wrong` tails."""
    return log2(sum(comb(n, count) for count in range(wrong + 1))) - n

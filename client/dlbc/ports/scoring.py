"""What whoever checks others' models needs of torch and safetensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dlbc.core.architecture import Architecture
from dlbc.core.types import Hash32
from dlbc.ports.data import Dataset


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A model file of a stranger: nothing is known but its bytes."""

    weights: Mapping[str, NDArray[np.float32]]  # finite, by name
    sha256: Hash32
    widened: tuple[str, ...]  # dtypes that were widened to float32, e.g. "float16"


ReadWeights = Callable[[Path], WeightFile]
"""Raises NotFound, BadInput or VerificationFailed, saying what was expected and found."""


class Scorer(Protocol):
    """What whoever checks others' work needs of torch and safetensors. Everything given to it may be a stranger's.

    Each raises LimitReached when this machine's limits ended it, which says nothing about what it was given.
    """

    def parse_dataset(self, data: bytes | bytearray, *, input_shape: Sequence[int], classes: int) -> Dataset:
        """The samples of one safetensors file (a released test set).

        Raises BadInput for anything but finite x of this shape and y in range.
        """
        ...

    def check_model(self, model: bytes | Path, architecture: Architecture, *, max_bytes: int) -> dict[str, Any]:
        """Parses safetensors and checks names, shapes, dtype float32 and finiteness against the architecture.

        Returns {tensor name: numpy float32 array}. Raises VerificationFailed saying what was expected and found.
        """
        ...

    def predict(
        self,
        weights: Mapping[str, Any],
        architecture: Architecture,
        x: NDArray[np.float32],
        device: str = "cpu",
    ) -> NDArray[np.int64]:
        """Top-1 classes, shape [n], int64, by the pinned evaluator (float32, batches of 256)."""
        ...

    def logits(
        self,
        weights: Mapping[str, Any],
        architecture: Architecture,
        x: NDArray[np.float32],
        device: str = "cpu",
    ) -> NDArray[np.float32]:
        """What `predict` takes the largest of, shape [n, classes]. For few samples: nothing bounds its memory."""
        ...

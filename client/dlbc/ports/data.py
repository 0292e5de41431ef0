"""Samples, and where a requester has them from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples in memory. x: float32 [n, *input_shape], finite, normalised; y: int64 [n], 0 <= y < classes."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]


class DataSource(Protocol):
    """Where a requester's samples come from, and how they are packed."""

    def load(self, source: str, folder: Path, seed: int) -> tuple[Dataset, Dataset]:
        """(training, test) samples of a built-in name or of an .npz file (a relative path starts at `folder`).

        Raises BadInput for NaN, wrong shapes, labels out of range, no samples, only one class or no such file.
        """
        ...

    def pack(self, data: Dataset) -> bytes:
        """One safetensors file with tensors x and y; the same data gives the same bytes."""
        ...

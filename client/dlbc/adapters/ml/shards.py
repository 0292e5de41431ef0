"""Training data as hashed shards and test sets as single files: safetensors with x (float32) and y (int64)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dlbc.adapters.ml.files import read_limited
from dlbc.adapters.ml.tensors import DTYPES, Buffer, all_finite, find_tensors, tensor_at
from dlbc.core.errors import BadInput
from dlbc.ports import Dataset

MAX_FILE_BYTES = 2**31


def encode_dataset(dataset: Dataset) -> bytes:
    """The bytes of one file that holds the whole set; equal sets give equal bytes."""
    from safetensors.numpy import save

    check_dataset(dataset, classes=None)
    return bytes(save({"x": np.ascontiguousarray(dataset.x), "y": np.ascontiguousarray(dataset.y)}))


def parse_dataset(data: Buffer, *, input_shape: Sequence[int], classes: int) -> Dataset:
    """The set in one file's bytes. Raises BadInput for anything but finite x [n, *input_shape] and y in range."""
    return samples_at(data, input_shape, *locate_samples(data, input_shape=input_shape, classes=classes))


def locate_samples(data: Buffer, *, input_shape: Sequence[int], classes: int) -> tuple[int, int, int]:
    """(samples, where x begins in the bytes of one file, where y does). Raises as `parse_dataset`."""
    expected = {"x": ("F32", (None, *input_shape)), "y": ("I64", (None,))}
    places, _ = find_tensors(data, expected, what="data file", refuse=BadInput)
    (x, shape), (y, labels) = places["x"], places["y"]
    dataset = Dataset(tensor_at(data, DTYPES["F32"], shape, x), tensor_at(data, DTYPES["I64"], labels, y))
    check_dataset(dataset, classes)
    return len(dataset.y), x, y


def samples_at(data: Buffer, input_shape: Sequence[int], samples: int, x: int, y: int) -> Dataset:
    """The set; the three numbers are those of `locate_samples`."""
    return Dataset(
        tensor_at(data, DTYPES["F32"], (samples, *input_shape), x), tensor_at(data, DTYPES["I64"], (samples,), y)
    )


def load_dataset(shards: Sequence[Path], *, input_shape: Sequence[int], classes: int) -> Dataset:
    """All shards, in order, as one set in memory. Raises BadInput as `parse_dataset`."""
    if not shards:
        raise BadInput("data: expected at least one shard, found none")
    parts = [
        parse_dataset(
            read_limited(path, MAX_FILE_BYTES, "data file", BadInput), input_shape=input_shape, classes=classes
        )
        for path in shards
    ]
    if len(parts) == 1:
        return parts[0]
    return Dataset(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))


def check_dataset(dataset: Dataset, classes: int | None) -> None:
    """Raises BadInput unless there is a sample, x and y are as many, x is finite and 0 <= y < classes."""
    if len(dataset.x) != len(dataset.y) or not len(dataset.y):
        raise BadInput(f"data: expected one label a sample, found {len(dataset.x)} samples, {len(dataset.y)} labels")
    if dataset.x.dtype != np.float32 or dataset.y.dtype != np.int64:
        raise BadInput(f"data: expected float32 samples, int64 labels, found {dataset.x.dtype}, {dataset.y.dtype}")
    if not all_finite(dataset.x):
        raise BadInput("data: expected finite samples, found NaN or infinity")
    lowest, highest = int(dataset.y.min()), int(dataset.y.max())
    if lowest < 0 or (classes is not None and highest >= classes):
        limit = "up" if classes is None else f"to {classes - 1}"
        raise BadInput(f"data: expected labels from 0 {limit}, found {lowest} to {highest}")

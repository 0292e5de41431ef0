"""Model files: safetensors with exactly the tensors of the task's architecture, all float32, all finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dlbc.adapters.ml.files import read_limited, replacing
from dlbc.adapters.ml.tensors import DTYPES, MAX_HEADER, Buffer, all_finite, find_tensors, tensor_at
from dlbc.core.architecture import Architecture, stored_values, tensor_shapes
from dlbc.core.errors import VerificationFailed

if TYPE_CHECKING:
    from torch import nn


def save_model(weights: Mapping[str, NDArray[np.float32]], path: Path) -> int:
    """Writes a model file by rename and returns its size in bytes. Equal weights give equal bytes."""
    from safetensors.numpy import save_file

    with replacing(path) as draft:
        save_file({name: np.ascontiguousarray(tensor, np.float32) for name, tensor in weights.items()}, draft)
    return path.stat().st_size


def check_model(model: bytes | Path, architecture: Architecture, *, max_bytes: int) -> dict[str, NDArray[np.float32]]:
    """The weights by name, read-only views of the file's bytes, in the architecture's order.

    Raises VerificationFailed, saying what was expected and found, if the file is larger than `max_bytes`, is not
    safetensors, or holds other names, shapes or dtypes than the architecture, a NaN or an infinity.
    """
    if isinstance(model, Path):
        model = read_limited(model, max_bytes, "model file", VerificationFailed)
    return weights_at(model, architecture, locate_weights(model, architecture, max_bytes=max_bytes))


def locate_weights(model: Buffer, architecture: Architecture, *, max_bytes: int) -> list[int]:
    """Where each tensor begins in the bytes of a model file, in the architecture's order. Raises as `check_model`."""
    if len(model) > max_bytes:
        raise VerificationFailed(f"model file: expected at most {max_bytes} bytes, found {len(model)}")
    expected = {name: ("F32", shape) for name, shape in tensor_shapes(architecture).items()}
    places, _ = find_tensors(model, expected, what="model file", refuse=VerificationFailed)
    for name, (offset, shape) in places.items():
        if not all_finite(tensor_at(model, DTYPES["F32"], shape, offset)):
            raise VerificationFailed(f"model file: expected finite values in {name}, found NaN or infinity")
    return [places[name][0] for name in expected]


def weights_at(model: Buffer, architecture: Architecture, offsets: Sequence[int]) -> dict[str, NDArray[np.float32]]:
    """The weights by name; `offsets` are those of `locate_weights`."""
    shapes = tensor_shapes(architecture)
    return {
        name: tensor_at(model, DTYPES["F32"], shape, offset)
        for (name, shape), offset in zip(shapes.items(), offsets, strict=True)
    }


def load_module(path: str | Path, architecture: Architecture) -> nn.Module:
    """A pulled model as a torch module in eval mode, on the CPU, ready to call.

    >>> from dlbc.adapters.ml import load_module
    >>> from dlbc.core.architecture import architecture_from_json
    >>> module = load_module("model.safetensors", architecture_from_json(manifest["architecture"]))
    >>> classes = module(images).argmax(1)   # images: float32 [n, *input_shape], as in the task's data

    Raises VerificationFailed as `check_model` does.
    """
    from dlbc.adapters.ml.families import build, load_weights

    limit = 4 * stored_values(architecture) + 8 + MAX_HEADER
    module = build(architecture)
    load_weights(module, check_model(Path(path), architecture, max_bytes=limit))
    return module.eval()

"""Model files of strangers, whatever architecture they have: safetensors with floats, read without torch.

What the ledger accepts is stricter (`adapters.ml.weights.check_model`). Here a file that was stored with half of the
bits is widened, because its owner's mark is still in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dlbc.adapters.ml.tensors import MAX_HEADER, all_finite
from dlbc.core.canonical import check_depth
from dlbc.core.errors import BadInput, NotFound, VerificationFailed
from dlbc.core.types import Hash32
from dlbc.ports import WeightFile

MAX_BYTES = 2**33 + MAX_HEADER
"""The largest model that an architecture may have, in float32."""
MAX_DIMENSIONS = 8
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_NAMES = {"F16": "float16", "BF16": "bfloat16"}


def read_weights(path: Path) -> WeightFile:
    """The float tensors of a safetensors file by name; float16 and bfloat16 are widened to float32, exactly.

    Raises NotFound for no file, BadInput for one that can't be read, and VerificationFailed, saying what was expected
    and found, for anything but safetensors with float32, float16 or bfloat16, and for NaN or infinity.
    """
    if not path.is_file():
        raise NotFound(f"model file {path} does not exist")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, MAX_BYTES) + 1)
    except OSError as error:
        raise BadInput(f"model file {path} can't be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise VerificationFailed(f"model file: expected at most {MAX_BYTES} bytes, found more")
    header, start = _header(data)
    weights, widened = {}, set()
    for name, entry in header.items():
        kind, shape, offset = _place(name, entry, len(data) - start)
        weights[name] = _tensor(data, kind, shape, start + offset)
        if not all_finite(weights[name]):
            raise VerificationFailed(f"model file: expected finite values in {_shown(name)}, found NaN or infinity")
        if kind in _NAMES:
            widened.add(_NAMES[kind])
    return WeightFile(weights, Hash32(hashlib.sha256(data).digest()), tuple(sorted(widened)))


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The tensors' entries, and where the data begins."""
    size = int.from_bytes(data[:8], "little") if len(data) >= 8 else 0
    if not 2 <= size <= min(MAX_HEADER, len(data) - 8):
        _fail(f"expected a safetensors file, found {len(data)} bytes that do not begin like one")
    try:
        check_depth(data[8 : 8 + size], what="model file")
        header = json.loads(data[8 : 8 + size].decode(), object_pairs_hook=_unique)
    except (ValueError, BadInput):
        _fail("expected a safetensors header in JSON with unique names, found something else")
    if not isinstance(header, dict):
        _fail(f"expected the safetensors header to be an object, found {type(header).__name__}")
    header.pop("__metadata__", None)
    if not header:
        _fail("expected a model, found no tensor")
    return header, 8 + size


def _place(name: str, entry: object, available: int) -> tuple[str, list[int], int]:
    """(dtype, shape, offset) of a tensor, whose bytes are all there."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        _fail(f"expected dtype, shape and data_offsets for {_shown(name)}, found something else")
    kind, shape, offsets = str(entry["dtype"]), entry["shape"], entry["data_offsets"]
    if kind not in _BYTES:
        _fail(
            f"expected {_shown(name)} in float32, float16 or bfloat16, found {kind[:20]!a}; marks are read from "
            "floats, so bring quantised weights back to their own scale first"
        )
    if not _whole(shape) or len(shape) > MAX_DIMENSIONS or not _whole(offsets) or len(offsets) != 2:
        _fail(f"expected whole numbers as shape and offsets of {_shown(name)}, found something else")
    size = prod(shape) * _BYTES[kind]
    if offsets[1] - offsets[0] != size or offsets[1] > available:
        _fail(f"expected {size} bytes for {_shown(name)}, found offsets {str(offsets)[:60]} of {available}")
    return kind, shape, offsets[0]


def _tensor(data: bytes, kind: str, shape: list[int], offset: int) -> NDArray[np.float32]:
    count = prod(shape)
    if kind == "F32":
        values = np.frombuffer(data, "<f4", count, offset)
        values = values if values.flags.aligned else values.copy()
    elif kind == "F16":
        values = np.frombuffer(data, "<f2", count, offset).astype(np.float32)
    else:
        # bfloat16 is the upper half of a float32
        values = (np.frombuffer(data, "<u2", count, offset).astype(np.uint32) << 16).view(np.float32)
    return values.reshape(shape)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _whole(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**48 for value in values)


def _shown(name: str) -> str:
    return ascii(name)[1:-1][:60]


def _fail(sentence: str) -> NoReturn:
    raise VerificationFailed(f"model file: {sentence}")

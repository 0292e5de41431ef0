"""Model files of strangers, whatever architecture they have: safetensors with floats, read without torch.

What the ledger accepts is stricter (`adapters.ml.weights.check_model`). Here a file that was stored with half of the
bits is widened, because its owner's mark is still in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from dlbc.adapters.ml.tensors import MAX_HEADER, all_finite
from dlbc.core.canonical import check_depth
from dlbc.core.errors import BadInput, LimitReached, NotFound, VerificationFailed
from dlbc.core.types import Hash32
from dlbc.ports import WeightFile

MAX_BYTES = 2**33 + MAX_HEADER
"""The largest model that an architecture may have, in float32."""
MAX_DIMENSIONS = 8
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_NAMES = {"F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one tensor lies in the data that follow the header."""

    kind: str
    shape: list[int]
    begin: int
    end: int


def read_weights(path: Path) -> WeightFile:
    """The float tensors of a safetensors file by name; float16 and bfloat16 are widened to float32, exactly.

    The header is held against the file's size before any tensor is read, and no byte belongs to two tensors: at most
    this takes the file's size and what was widened or has to lie elsewhere, three times the file in all.

    Raises NotFound for no file, BadInput for one that can't be read, LimitReached where memory does not suffice, and
    VerificationFailed, saying what was expected and found, for anything but safetensors with float32, float16 or
    bfloat16, and for NaN or infinity.
    """
    if not path.is_file():
        raise NotFound(f"model file {path} does not exist")
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise BadInput(f"model file {path} can't be read: {error.strerror}") from error
    except MemoryError as error:
        raise LimitReached(f"model file {path}: its tensors take more memory than there is here") from error


def _read(file: BinaryIO) -> WeightFile:
    size = os.fstat(file.fileno()).st_size
    if size > MAX_BYTES:
        _fail(f"expected at most {MAX_BYTES} bytes, found {size}")
    begin, header = _header(file, size)
    available = size - len(begin)
    places = {name: _place(name, entry, available) for name, entry in header.items()}
    _check_overlaps(places)
    data = file.read(available)
    if len(data) != available or file.read(1):
        _fail("expected a file that nobody writes to, found one that changed while it was read")
    digest = hashlib.sha256(begin)
    digest.update(data)
    weights = {}
    for name, place in places.items():
        weights[name] = _tensor(data, place)
        if not all_finite(weights[name]):
            _fail(f"expected finite values in {_shown(name)}, found NaN or infinity")
    widened = {_NAMES[place.kind] for place in places.values() if place.kind in _NAMES}
    return WeightFile(weights, Hash32(digest.digest()), tuple(sorted(widened)))


def _header(file: BinaryIO, size: int) -> tuple[bytes, dict[str, Any]]:
    """All bytes before the data, and the tensors' entries in them."""
    begin = file.read(8)
    length = int.from_bytes(begin, "little") if len(begin) == 8 else 0
    if not 2 <= length <= min(MAX_HEADER, size - 8):
        _fail(f"expected a safetensors file, found {size} bytes that do not begin like one")
    text = file.read(length)
    try:
        check_depth(text, what="model file")
        header = json.loads(text.decode(), object_pairs_hook=_unique)
    except (ValueError, BadInput):
        _fail("expected a safetensors header in JSON with unique names, found something else")
    if not isinstance(header, dict):
        _fail(f"expected the safetensors header to be an object, found {type(header).__name__}")
    header.pop("__metadata__", None)
    if not header:
        _fail("expected a model, found no tensor")
    return begin + text, header


def _place(name: str, entry: object, available: int) -> _Place:
    """That of a tensor whose bytes are all there."""
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
    if not size:
        _fail(f"expected values in {_shown(name)}, found the shape {str(shape)[:60]}")
    if offsets[1] - offsets[0] != size or offsets[1] > available:
        _fail(f"expected {size} bytes for {_shown(name)}, found offsets {str(offsets)[:60]} of {available}")
    return _Place(kind, shape, *offsets)


def _check_overlaps(places: Mapping[str, _Place]) -> None:
    """Where bytes belong to many tensors, a small file would become a large one in memory."""
    in_order = sorted(places.items(), key=lambda item: item[1].begin)
    for (one, before), (other, after) in pairwise(in_order):
        if after.begin < before.end:
            _fail(f"expected every byte in one tensor, found some in {_shown(one)} and in {_shown(other)}")


def _tensor(data: bytes, place: _Place) -> NDArray[np.float32]:
    kind, offset, count = place.kind, place.begin, prod(place.shape)
    if kind == "F32":
        values = np.frombuffer(data, "<f4", count, offset)
        values = values if values.flags.aligned else values.copy()
    elif kind == "F16":
        values = np.frombuffer(data, "<f2", count, offset).astype(np.float32)
    else:
        bits = np.frombuffer(data, "<u2", count, offset).astype(np.uint32)
        bits <<= 16  # bfloat16 is the upper half of a float32
        values = bits.view(np.float32)
    return values.reshape(place.shape)


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

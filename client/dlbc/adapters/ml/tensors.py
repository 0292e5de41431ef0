"""A strict reader of safetensors bytes from strangers: the header is bounded and compared with what is expected
before any tensor is looked at, and tensors are views into the bytes, never copies of a size the file chose.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dlbc.core.canonical import check_depth
from dlbc.core.errors import BadInput, DlbcError

MAX_HEADER = 2**20
Buffer = bytes | bytearray | memoryview
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}

Expected = Mapping[str, tuple[str, Sequence[int | None]]]
"""Tensor name → (dtype, shape); None in a shape is any size of at least 1."""
Places = Mapping[str, tuple[int, Sequence[int]]]
"""Tensor name → (where its bytes begin in the file, shape)."""


def read_tensors(
    data: Buffer, expected: Expected, *, what: str, refuse: type[DlbcError]
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """({name: array}, metadata) of a safetensors file that holds exactly the expected tensors.

    Raises `refuse` with one sentence that starts with `what` and says what was expected and found.
    """
    places, metadata = find_tensors(data, expected, what=what, refuse=refuse)
    tensors = {
        name: tensor_at(data, DTYPES[expected[name][0]], shape, offset) for name, (offset, shape) in places.items()
    }
    return tensors, metadata


def tensor_at(data: Buffer, dtype: np.dtype[Any], shape: Sequence[int], offset: int) -> NDArray[Any]:
    """A view of the bytes; a copy where they do not lie as the processor needs them."""
    flat = np.frombuffer(data, dtype, count=prod(shape), offset=offset)
    return flat.reshape(shape) if flat.flags.aligned else flat.copy().reshape(shape)


def find_tensors(
    data: Buffer, expected: Expected, *, what: str, refuse: type[DlbcError]
) -> tuple[Places, dict[str, str]]:
    """Where the expected tensors are, all of them in the file and none over another. Raises as `read_tensors`."""

    def fail(sentence: str) -> NoReturn:
        raise refuse(f"{what}: {sentence}")

    size = int.from_bytes(data[:8], "little") if len(data) >= 8 else 0
    if not 2 <= size <= min(MAX_HEADER, len(data) - 8):
        fail(
            f"expected a safetensors file, found {len(data)} bytes whose header would be {size} bytes "
            f"(2 to {MAX_HEADER} are allowed)"
        )
    try:
        check_depth(bytes(data[8 : 8 + size]), what=what)
        text = bytes(data[8 : 8 + size]).decode()
        header = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, BadInput):
        fail("expected a safetensors header in JSON with unique names, found something else")
    if not isinstance(header, dict):
        fail(f"expected the safetensors header to be an object, found {type(header).__name__}")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        fail("expected safetensors metadata to map text to text, found something else")
    missing = [name for name in expected if name not in header]
    extra = [name for name in header if name not in expected]
    if missing or extra:
        fail(f"expected the tensors {_list(expected)}; missing: {_list(missing)}; not expected: {_list(extra)}")

    places = {}
    for name, (dtype, shape) in expected.items():
        entry = header[name]
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            fail(f"expected dtype, shape and data_offsets for {name}, found {str(entry)[:80]!a}")
        if entry["dtype"] != dtype:
            fail(f"expected {name} as {dtype}, found {str(entry['dtype'])[:20]!a}")
        found = entry["shape"]
        if not _whole(found) or not _matches(found, shape):
            fail(f"expected {name} of shape {_shape(shape)}, found {str(found)[:80]!a}")
        places[name] = (entry["data_offsets"], found)
        offsets = entry["data_offsets"]
        if not _whole(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != prod(found) * DTYPES[dtype].itemsize:
            fail(
                f"expected {prod(found) * DTYPES[dtype].itemsize} bytes for {name}, found offsets {str(offsets)[:80]!a}"
            )
    spans = sorted(offsets for offsets, _ in places.values())
    edges = [[0, 0], *spans, [len(data) - 8 - size] * 2]
    if any(before[1] != after[0] for before, after in pairwise(edges)):
        fail(f"expected the tensors to fill the {len(data) - 8 - size} data bytes without gap or overlap, they do not")
    return {name: (8 + size + offsets[0], found) for name, (offsets, found) in places.items()}, metadata


def all_finite(tensor: NDArray[Any]) -> bool:
    """No NaN and no infinity; without a temporary of the tensor's size."""
    return not tensor.size or bool(np.isfinite(tensor.max()) and np.isfinite(tensor.min()))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole(values: object) -> bool:
    """A list of whole numbers from 0 on (True is no number)."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**48 for value in values)


def _matches(found: Sequence[int], shape: Sequence[int | None]) -> bool:
    return len(found) == len(shape) and all(
        have == want if want is not None else have >= 1 for have, want in zip(found, shape, strict=True)
    )


def _shape(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("n" if size is None else str(size) for size in shape) + "]"


def _list(names: Any) -> str:
    shown = [ascii(name)[1:-1][:60] for name in names]
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "") or "none"

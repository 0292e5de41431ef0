"""Model files of strangers: floats are read, anything else is refused with one sentence."""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dlbc.adapters.weight_file import read_weights
from dlbc.core.errors import DlbcError, NotFound, VerificationFailed
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

VALUES = np.array([[1.5, -0.0, 3.0e-5], [65504.0, -2.25, 0.1]], np.float32)


def written(path: Path, tensors: dict[str, tuple[str, list[int], bytes]], **more: Any) -> Path:
    """A safetensors file, byte by byte."""
    header: dict[str, Any] = dict(more)
    data = b""
    for name, (kind, shape, part) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)
    return path


@pytest.mark.parametrize("padding", ["", " "])
def test_read__float32__is_as_it_was(tmp_path: Path, padding: str) -> None:
    """Aligned in the file or not; the digest is the file's."""
    path = written(tmp_path / "a", {"w": ("F32", [2, 3], VALUES.tobytes())}, __metadata__={"format": "pt" + padding})
    found = read_weights(path)
    assert found.widened == ()
    assert found.sha256 == sha256(path.read_bytes()).digest()
    assert np.array_equal(found.weights["w"], VALUES)


def test_read__float16_and_bfloat16__are_widened_exactly_and_said(tmp_path: Path) -> None:
    """Every value of fewer bits is a float32."""
    half = VALUES.astype(np.float16)
    upper = (VALUES.view(np.uint32) >> 16).astype(np.uint16)
    tensors = {
        "half": ("F16", [2, 3], half.tobytes()),
        "brain": ("BF16", [2, 3], upper.tobytes()),
        "whole": ("F32", [2, 3], VALUES.tobytes()),
    }
    found = read_weights(written(tmp_path / "a", tensors))
    assert found.widened == ("bfloat16", "float16")
    assert np.array_equal(found.weights["half"], half.astype(np.float32))
    assert np.array_equal(found.weights["brain"], (upper.astype(np.uint32) << 16).view(np.float32))
    assert {tensor.dtype for tensor in found.weights.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        (("I8", [6], bytes(6)), "in float32, float16 or bfloat16, found 'I8'; marks are read from floats"),
        (("F64", [1], bytes(8)), "found 'F64'"),
        (("F32", [1], np.float32("nan").tobytes()), "expected finite values in w, found NaN or infinity"),
        (("F16", [1], np.float16("inf").tobytes()), "expected finite values in w, found NaN or infinity"),
        (("F32", [3], bytes(8)), "expected 12 bytes for w"),
        (("F32", [-1], bytes(4)), "whole numbers as shape"),
        (("F32", [1] * 9, bytes(4)), "whole numbers as shape"),
        (("F32", [2**40], bytes(4)), "bytes for w"),
    ],
)
def test_read__tensor_that_is_no_weight__is_refused(
    tmp_path: Path, tensor: tuple[str, list[int], bytes], sentence: str
) -> None:
    """Another dtype, NaN, sizes that do not fit."""
    with pytest.raises(VerificationFailed, match=sentence):
        read_weights(written(tmp_path / "a", {"w": tensor}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 8,
        b"\xff" * 64,
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (9).to_bytes(8, "little") + b'{"w": 12}',
        (40).to_bytes(8, "little") + b'{"w": {"dtype": "F32", "shape": [1]}}   ',
        (26).to_bytes(8, "little") + b'{"w": {}, "w": {}, "v": 1}',
    ],
)
def test_read__bytes_that_are_no_model__are_refused(tmp_path: Path, data: bytes) -> None:
    """Never a traceback."""
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(VerificationFailed, match=r"^model file: expected"):
        read_weights(tmp_path / "a")


def test_read__no_file__is_not_found(tmp_path: Path) -> None:
    """Nor is a folder a model."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(NotFound, match="does not exist"):
            read_weights(path)


@given(st.binary(max_size=64), st.integers(0, 200), st.integers(0, 255))
def test_read__any_byte_changed__is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, place: int, value: int
) -> None:
    """Whatever a stranger writes, an answer comes back."""
    path = written(tmp_path_factory.mktemp("fuzz") / "a", {"w": ("F32", [2, 3], VALUES.tobytes())})
    data = bytearray(path.read_bytes() + tail)
    data[place % len(data)] = value
    path.write_bytes(bytes(data))
    with suppress(DlbcError):
        assert all(np.isfinite(tensor).all() for tensor in read_weights(path).weights.values())

"""Model files of strangers: floats are read, anything else is refused with one sentence."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dlbc.adapters.weight_file import MAX_BYTES, read_weights
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
        (("F32", [0], b""), "expected values in w, found the shape"),
        (("F16", [0, 2**47, 2**47], b""), "expected values in w, found the shape"),
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


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_read__one_tensor_over_another__is_refused(tmp_path: Path, kind: str) -> None:
    """Not even by one byte, in whatever order they are named."""
    size = {"F32": 4}.get(kind, 2)
    places = {"b": [size, 3 * size], "a": [0, 2 * size]}
    header = {name: {"dtype": kind, "shape": [2], "data_offsets": place} for name, place in places.items()}
    head = json.dumps(header).encode()
    (tmp_path / "a").write_bytes(len(head).to_bytes(8, "little") + head + bytes(3 * size))
    with pytest.raises(VerificationFailed, match="expected every byte in one tensor, found some in a and in b"):
        read_weights(tmp_path / "a")


LARGE = 2**33
"""Bytes of data that are declared, and not there: the file is one hole."""
LIES: dict[str, tuple[dict[str, Any], int]] = {
    "too large": ({"w": ("F32", [LARGE // 4], [0, LARGE])}, MAX_BYTES + 1),
    "more than there is": ({"w": ("F32", [LARGE // 4], [0, LARGE])}, LARGE),
    "another shape": ({"w": ("F32", [LARGE // 4 - 1], [0, LARGE])}, 0),
    "the same data a thousand times": ({f"w{n}": ("F16", [LARGE // 2], [0, LARGE]) for n in range(1_000)}, 0),
    "a little of it twice": ({"v": ("BF16", [1], [8, 10]), "w": ("F16", [LARGE // 2], [0, LARGE])}, 0),
    "no floats": ({"v": ("F32", [1], [0, 4]), "w": ("U8", [LARGE - 4], [4, LARGE])}, 0),
}


@pytest.mark.parametrize("lie", sorted(LIES))
def test_read__header_that_lies_about_gigabytes__is_refused_before_they_are_read(tmp_path: Path, lie: str) -> None:
    """What the header takes is all that is taken."""
    tensors, size = LIES[lie]
    entries = {
        name: dict(zip(("dtype", "shape", "data_offsets"), entry, strict=True)) for name, entry in tensors.items()
    }
    head = json.dumps(entries).encode()
    with (tmp_path / "a").open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        file.truncate(size or 8 + len(head) + LARGE)
    with pytest.raises(VerificationFailed), peak() as taken:
        read_weights(tmp_path / "a")
    assert taken() < 2**24


@pytest.mark.parametrize(("kind", "most"), [("F32", 2), ("F16", 3), ("BF16", 3)])
def test_read__many_tensors__take_a_few_times_the_file(tmp_path: Path, kind: str, most: int) -> None:
    """Also where nothing is aligned and everything has to be copied."""
    each, count = 2**18, 16
    size = {"F32": 4}.get(kind, 2) * each
    tensors = {f"w{number}": (kind, [each], bytes(size)) for number in range(count)}
    path = written(tmp_path / "a", {"odd": ("F16", [1], bytes(2)), **tensors})
    with peak() as taken:
        found = read_weights(path)
    assert len(found.weights) == count + 1
    assert taken() < most * path.stat().st_size + 2**20


@contextmanager
def peak() -> Iterator[Callable[[], int]]:
    """What Python and numpy take at most within the block, in bytes."""
    tracemalloc.start()
    before, most = tracemalloc.get_traced_memory()[0], [0]
    try:
        yield lambda: most[0]
    finally:
        most[0] = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()


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

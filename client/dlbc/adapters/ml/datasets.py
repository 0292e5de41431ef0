"""Where a requester's data comes from: built-in names and .npz files, brought to one form and split."""

from __future__ import annotations

import gzip
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.adapters.ml.shards import check_dataset
from dlbc.adapters.ml.tensors import all_finite
from dlbc.core.architecture import MAX_CLASSES
from dlbc.core.errors import BadInput
from dlbc.core.task_file import BUILT_IN
from dlbc.ports import Dataset

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
MAX_ARRAY_BYTES = 8 * 2**30
MAX_NPY_HEADER = 10_000
NPY_HEADER = re.compile(
    rb"\{'descr': '([^']{1,40})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,19}(?:, \d{1,19}){0,31},?)?)\), \} *\n"
)
NUMBERS = re.compile(r"[<>|=](u[1248]|i[1248]|f[248])")
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,  # encrypted
    NotImplementedError,
    ValueError,  # a name that is not UTF-8, an offset below zero
)
"""What zipfile raises about an archive that it can't read."""
TEST_SHARE = 5
"""One sample in five is held out where the source has no test set of its own."""


@dataclass(frozen=True, slots=True)
class TaskData:
    """What a task is posted with. x: float32 [n, *input_shape], y: int64 [n] with 0 <= y < classes."""

    train: Dataset
    test: Dataset
    input_shape: tuple[int, ...]
    classes: int


def load_data(source: str, *, seed: int = 0) -> TaskData:
    """Data by built-in name or path of an .npz file; training samples are shuffled by `seed`.

    An .npz holds x_train, y_train, x_test, y_test, or x and y, of which a fifth, drawn by `seed`, becomes the test
    set. x: [n, …], uint8 is scaled to [0, 1], other numbers are taken as they are; [n, height, width] gets one
    channel. y: whole numbers from 0. Raises BadInput, saying what was expected and found.
    """
    if source == "digits":
        return _split(*_digits(), seed)
    if source == "fashion-mnist":
        return _join(*_fashion_mnist(FASHION_MNIST), seed)
    if not source.endswith(".npz"):
        raise BadInput(f"data: expected {' or '.join(BUILT_IN)} or a path ending in .npz, found {source[:200]!a}")
    arrays = _read_npz(Path(source))
    if "x" in arrays:
        return _split(arrays["x"], arrays["y"], seed)
    return _join(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"], seed)


def _digits() -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return (images / 16).astype(np.float32).reshape(-1, 8, 8), labels


def _fashion_mnist(folder: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    if not (folder / "train-images-idx3-ubyte.gz").is_file():
        raise BadInput(
            f"data: fashion-mnist was expected in {folder}; install the Debian package dataset-fashion-mnist "
            "(apt-get install dataset-fashion-mnist)"
        )
    return (
        _read_idx(folder / "train-images-idx3-ubyte.gz", (60_000, 28, 28)),
        _read_idx(folder / "train-labels-idx1-ubyte.gz", (60_000,)),
        _read_idx(folder / "t10k-images-idx3-ubyte.gz", (10_000, 28, 28)),
        _read_idx(folder / "t10k-labels-idx1-ubyte.gz", (10_000,)),
    )


def _read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """One gzipped idx file of unsigned bytes: magic 0, 0, 8, dimensions; sizes as big-endian 32-bit words."""
    header = b"\x00\x00\x08" + bytes([len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    size = prod(shape)
    try:
        with gzip.open(path) as file:
            data = file.read(len(header) + size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"data: {path} was expected to be a gzipped idx file, reading it fails ({error})") from error
    if data[: len(header)] != header or len(data) != len(header) + size:
        raise BadInput(f"data: {path} was expected to hold {shape} bytes in idx form, found something else")
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape)


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise BadInput(f"data: expected an .npz file at {path}, found none")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            names = next(
                (
                    names
                    for names in (("x_train", "y_train", "x_test", "y_test"), ("x", "y"))
                    if set(names) <= set(members)
                ),
                None,
            )
            if names is None:
                found = ", ".join(ascii(name)[1:-1][:40] for name in list(members)[:8]) or "none"
                raise BadInput(f"data: expected arrays x_train, y_train, x_test, y_test, or x, y; found {found}")
            return {name: _read_member(archive, members[name], name) for name in names}
    except UNREADABLE as error:
        raise BadInput(f"data: expected {path} to be an .npz file, reading it fails ({error})") from error


def _read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    """One array. Its own header decides how much is read, after that size is checked: a zip bomb stays small."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # LZMA's header asks for 4 GiB at once
        raise BadInput(f"data: expected {name} stored or deflated, as numpy writes it; found another compression")
    with archive.open(entry) as file:
        dtype, is_fortran, shape = _npy_header(file, name)
        size = dtype.itemsize * prod(shape)
        if size > MAX_ARRAY_BYTES:
            raise BadInput(f"data: expected {name} of at most {MAX_ARRAY_BYTES} bytes, its header says {size}")
        data = _read_exactly(file, size)
        if len(data) != size or file.read(1):
            raise BadInput(f"data: expected {size} bytes in {name} as its header says, found another number")
    array = np.frombuffer(data, dtype)
    return array.reshape(shape[::-1]).T if is_fortran else array.reshape(shape)


def _npy_header(file: Any, name: str) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """(dtype, is in Fortran order, shape), matched as numpy writes it and never evaluated as an expression."""
    start = file.read(8)
    width = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4}.get(start, 0)
    length = int.from_bytes(file.read(width), "little")
    match = NPY_HEADER.fullmatch(file.read(length)) if 0 < length <= MAX_NPY_HEADER else None
    if match is None:
        raise BadInput(f"data: expected {name} as a plain .npy array, found another format")
    descr, order, sizes = (group.decode("latin-1") for group in match.groups())
    if not NUMBERS.fullmatch(descr):
        raise BadInput(f"data: expected {name} to hold numbers, found {descr!a}")
    shape = tuple(int(size) for size in sizes.split(",") if size.strip())
    if not 1 <= len(shape) <= 5:
        raise BadInput(f"data: expected {name} with 1 to 5 dimensions, found {len(shape)}")
    return np.dtype(descr), order == "True", shape


def _read_exactly(file: Any, size: int) -> bytearray:
    """At most `size` bytes, in pieces, so that memory grows only as bytes really come."""
    data = bytearray()
    while len(data) < size and (piece := file.read(min(2**20, size - len(data)))):
        data += piece
    return data


def _split(x: NDArray[Any], y: NDArray[Any], seed: int) -> TaskData:
    samples, labels = _samples(x, "x"), _labels(y, "y", len(x))
    if len(labels) < 2:
        raise BadInput(f"data: expected at least 2 samples, to train on and to test with, found {len(labels)}")
    order = np.random.default_rng(seed).permutation(len(labels))
    tests = max(1, len(labels) // TEST_SHARE)
    return _task_data(
        Dataset(samples[order[tests:]], labels[order[tests:]]), Dataset(samples[order[:tests]], labels[order[:tests]])
    )


def _join(
    x_train: NDArray[Any], y_train: NDArray[Any], x_test: NDArray[Any], y_test: NDArray[Any], seed: int
) -> TaskData:
    samples, labels = _samples(x_train, "x_train"), _labels(y_train, "y_train", len(x_train))
    order = np.random.default_rng(seed).permutation(len(labels))
    test = Dataset(_samples(x_test, "x_test"), _labels(y_test, "y_test", len(x_test)))
    if len(np.unique(test.y)) < 2:
        raise BadInput("data: expected at least two classes among the test labels, found one: any model could say it")
    return _task_data(Dataset(samples[order], labels[order]), test)


def _task_data(train: Dataset, test: Dataset) -> TaskData:
    if train.x.shape[1:] != test.x.shape[1:]:
        raise BadInput(f"data: expected test samples of shape {train.x.shape[1:]}, found {test.x.shape[1:]}")
    classes = int(train.y.max()) + 1
    if len(np.unique(train.y)) < 2:
        raise BadInput("data: expected at least two classes among the training labels, found one")
    if classes > MAX_CLASSES:
        raise BadInput(f"data: expected labels below {MAX_CLASSES}, found {classes - 1}")
    check_dataset(train, classes)
    check_dataset(test, classes)
    return TaskData(train, test, train.x.shape[1:], classes)


def _samples(x: NDArray[Any], name: str) -> NDArray[np.float32]:
    """float32 [n, …] of one to four dimensions a sample."""
    if not 2 <= x.ndim <= 5 or not x.size:
        raise BadInput(f"data: expected {name} of shape [n, …] with at least one sample, found {list(x.shape)}")
    if x.ndim == 3:
        x = x[:, np.newaxis]
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x, np.float32) / np.float32(255)
    with np.errstate(over="ignore"):
        samples = np.ascontiguousarray(x, np.float32)
    if not all_finite(samples):
        raise BadInput(f"data: expected finite numbers in {name}, found NaN, infinity or values beyond float32")
    return samples


def _labels(y: NDArray[Any], name: str, samples: int) -> NDArray[np.int64]:
    """int64 [n] from 0; the top end is checked once the classes are known."""
    if y.shape != (samples,):
        raise BadInput(f"data: expected {name} of shape [{samples}], one label a sample, found {list(y.shape)}")
    if y.dtype.kind not in "ui":
        raise BadInput(f"data: expected whole numbers in {name}, found {y.dtype}")
    if y.min() < 0 or y.max() >= MAX_CLASSES:
        raise BadInput(f"data: expected labels from 0 to {MAX_CLASSES - 1} in {name}, found {y.min()} to {y.max()}")
    return y.astype(np.int64)

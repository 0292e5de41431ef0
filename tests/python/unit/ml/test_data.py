"""Data from requesters and shards from strangers: brought to one form, or refused in one sentence."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dlbc.adapters.ml import datasets
from dlbc.adapters.ml.datasets import load_data
from dlbc.adapters.ml.shards import encode_dataset, load_dataset, parse_dataset
from dlbc.core.errors import BadInput
from dlbc.ports import Dataset
from fakes.shards import write_shards
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

X = np.random.default_rng(0).random((20, 3), dtype=np.float32)
Y = np.arange(20) % 4


def npz(path: Path, **arrays: Any) -> str:
    np.savez(path / "data.npz", **arrays)
    return str(path / "data.npz")


def zipped(path: Path, members: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path / "data.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return str(path / "data.npz")


def npy(header: str, data: bytes = b"") -> bytes:
    raw = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + data


def npy_of(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_load_data__digits__are_scaled_and_split_by_the_seed() -> None:
    """1,797 images of 8x8 in [0, 1], a fifth held out, the same for the same seed."""
    data, again, other = load_data("digits", seed=1), load_data("digits", seed=1), load_data("digits", seed=2)

    assert (data.input_shape, data.classes) == ((1, 8, 8), 10)
    assert (len(data.train.y), len(data.test.y)) == (1438, 359)
    assert (data.train.x.min(), data.train.x.max()) == (0, 1)
    np.testing.assert_array_equal(data.test.x, again.test.x)
    assert not np.array_equal(data.test.x, other.test.x)


def test_load_data__x_and_y__are_split_without_loss(tmp_path: Path) -> None:
    """Every sample is in exactly one of the two parts, with its own label."""
    data = load_data(npz(tmp_path, x=X, y=Y), seed=3)

    together = np.concatenate([data.train.x, data.test.x])
    labels = np.concatenate([data.train.y, data.test.y])
    assert (len(data.test.y), data.classes, data.input_shape) == (4, 4, (3,))
    order = [int(np.flatnonzero((row == X).all(1))[0]) for row in together]
    assert sorted(order) == list(range(20))
    np.testing.assert_array_equal(Y[order], labels)


def test_load_data__train_and_test_given__keeps_them_apart(tmp_path: Path) -> None:
    """A source with its own test set keeps it, in its order."""
    data = load_data(npz(tmp_path, x_train=X, y_train=Y, x_test=X[:5], y_test=Y[:5]), seed=3)

    np.testing.assert_array_equal(X[:5], data.test.x)
    np.testing.assert_array_equal(Y[:5], data.test.y)
    assert len(data.train.y) == 20


def test_load_data__byte_images__are_scaled_and_get_a_channel(tmp_path: Path) -> None:
    """uint8 [n, h, w] becomes float32 [n, 1, h, w] in [0, 1]."""
    images = np.arange(20 * 4 * 5, dtype=np.uint8).reshape(20, 4, 5)

    data = load_data(npz(tmp_path, x_train=images, y_train=Y, x_test=images, y_test=Y))

    assert data.input_shape == (1, 4, 5)
    np.testing.assert_array_equal(images[:, None].astype(np.float32) / np.float32(255), data.test.x)


def test_load_data__fortran_and_big_endian_arrays__mean_the_same(tmp_path: Path) -> None:
    """The form of the file is no part of the data."""
    turned = np.asfortranarray(X.astype(">f8"))

    data = load_data(npz(tmp_path, x_train=X, y_train=Y, x_test=turned, y_test=Y.astype(">u2")))

    np.testing.assert_array_equal(X, data.test.x)
    assert (data.test.x.dtype, data.test.y.dtype) == (np.float32, np.int64)


MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "no arrays we know": ({"images": X}, "expected arrays x_train, y_train, x_test, y_test, or x, y; found images"),
    "labels missing": ({"x": X}, "found x"),
    "NaN": ({"x": np.where(X > 0.9, np.nan, X), "y": Y}, "finite numbers in x"),
    "infinity": ({"x": np.where(X > 0.9, np.inf, X), "y": Y}, "finite numbers in x"),
    "beyond float32": ({"x": X.astype(np.float64) * 1e300, "y": Y}, "finite numbers in x"),
    "one dimension": ({"x": X[:, 0], "y": Y}, r"x of shape \[n, …\]"),
    "six dimensions": ({"x": np.zeros((2, 1, 1, 1, 1, 1), np.float32), "y": Y[:2]}, "1 to 5 dimensions"),
    "no samples": ({"x": X[:0], "y": Y[:0]}, "at least one sample"),
    "empty samples": ({"x": np.zeros((20, 0), np.float32), "y": Y}, "at least one sample"),
    "one sample": ({"x": X[:1], "y": Y[:1]}, "at least 2 samples"),
    "fewer labels": ({"x": X, "y": Y[:19]}, r"y of shape \[20\], one label a sample, found \[19\]"),
    "labels in two dimensions": ({"x": X, "y": np.eye(20, 4, dtype=int)}, r"found \[20, 4\]"),
    "labels as floats": ({"x": X, "y": Y.astype(np.float32)}, "whole numbers in y, found float32"),
    "labels as text": ({"x": X, "y": np.array(["a", "b"] * 10)}, "y to hold numbers, found '<U1"),
    "labels as booleans": ({"x": X, "y": Y > 1}, "y to hold numbers, found '.b1'"),
    "complex samples": ({"x": X + 1j, "y": Y}, "x to hold numbers, found '<c"),
    "negative label": ({"x": X, "y": Y - 1}, "in y, found -1 to 2"),
    "label out of range": ({"x": X, "y": Y + 2**21}, "expected labels from 0 to 1048575"),
    "one class": ({"x": X, "y": np.zeros(20, int)}, "at least two classes"),
    "one class to test with": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": np.zeros(20, int)},
        "two classes among the test labels",
    ),
    "test label never trained": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1},
        "from 0 to 3, found 1 to 4",
    ),
    "test of another shape": ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, "test samples of shape"),
    "objects": ({"x": np.array([{}] * 20), "y": Y}, "x to hold numbers, found '.O'"),
    "records": ({"x": np.zeros(20, [("a", "f4")]), "y": Y}, "as a plain .npy array"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_load_data__malformed_arrays__are_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    """Each fault is named, with what was expected."""
    arrays, sentence = MALFORMED[case]
    np.savez(tmp_path / "data.npz", allow_pickle=True, **arrays)

    with pytest.raises(BadInput, match=sentence) as refused:
        load_data(str(tmp_path / "data.npz"))

    assert "\n" not in str(refused.value)


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "not an array": (b"hello", "as a plain .npy array"),
    "empty member": (b"", "as a plain .npy array"),
    "a pickle": (pickle.dumps([1, 2]), "as a plain .npy array"),
    "unknown version": (b"\x93NUMPY\x03\x00" + bytes(100), "as a plain .npy array"),
    "header that is code": (npy("__import__('os').abort()"), "as a plain .npy array"),
    "header nested deep": (npy("(" * 110), "as a plain .npy array"),
    "header longer than allowed": (
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + bytes(99),
        "as a plain .npy array",
    ),
    "no dimension": (npy(HEADER % "()", bytes(4)), "1 to 5 dimensions, found 0"),
    "size of thousand digits": (npy(HEADER % ("(" + "9" * 1000 + ",)")), "as a plain .npy array"),
    "negative size": (npy(HEADER % "(-5, 3)", bytes(60)), "as a plain .npy array"),
    "overflowing size": (npy(HEADER % "(4294967296, 4294967296, 4294967296)"), "of at most"),
    "size beyond 2^40": (npy(HEADER % "(2199023255552,)"), "of at most"),
    "petabyte promised": (npy(HEADER % "(1000000000, 1000000)"), "of at most"),
    "more promised than there": (npy(HEADER % "(1000000, 1000)", bytes(60)), "bytes in x as its header says"),
    "more there than promised": (npy(HEADER % "(5, 3)", bytes(10**6)), "bytes in x as its header says"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_load_data__hostile_npz_member__is_refused(case: str, tmp_path: Path) -> None:
    """No code runs, no memory is taken that is not there, and the caller reads one sentence."""
    member, sentence = HOSTILE[case]
    source = zipped(tmp_path, {"x.npy": member, "y.npy": npy_of(Y)})

    with pytest.raises(BadInput, match=sentence) as refused:
        load_data(source)

    assert "\n" not in str(refused.value)


def test_load_data__zip_bomb__is_read_no_further_than_its_header_says(tmp_path: Path) -> None:
    """A member that inflates to 200 MB behind a header for 60 bytes costs 60 bytes."""
    source = zipped(tmp_path, {"x.npy": npy(HEADER % "(5, 3)", bytes(200 * 2**20)), "y.npy": npy_of(Y)})
    assert Path(source).stat().st_size < 2**20

    with pytest.raises(BadInput, match="expected 60 bytes in x"):
        load_data(source)


def test_load_data__member_name_that_is_not_utf_8__is_refused(tmp_path: Path) -> None:
    """The flag for UTF-8 names makes zipfile decode them, which fails by an error of its own."""
    path = Path(npz(tmp_path, x=X, y=Y))
    archive = bytearray(path.read_bytes())
    entry = archive.index(b"PK\x01\x02")
    archive[entry + 9] |= 0x08
    archive[archive.index(b"x.npy", entry)] = 0xFC
    path.write_bytes(archive)
    with pytest.raises(BadInput, match=r"to be an \.npz file, reading it fails \('utf-8' codec"):
        load_data(str(path))


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_load_data__compression_that_numpy_does_not_write__is_refused(compression: int, tmp_path: Path) -> None:
    """A few bytes of LZMA can ask for gigabytes before a single one is read."""
    source, packed = npz(tmp_path, x=X, y=Y), tmp_path / "packed.npz"
    with zipfile.ZipFile(source) as plain, zipfile.ZipFile(packed, "w", compression) as archive:
        for name in plain.namelist():
            archive.writestr(name, plain.read(name))
    with pytest.raises(BadInput, match="expected x stored or deflated"):
        load_data(str(packed))


@given(st.binary(max_size=200), st.integers(0, 900), st.integers(0, 60))
def test_load_data__mutated_npz__either_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, start: int, length: int
) -> None:
    """No bytes of an .npz file raise anything but BadInput."""
    path = tmp_path_factory.mktemp("npz") / "data.npz"
    file = io.BytesIO()
    np.savez(file, x=X, y=Y)
    good = file.getvalue()
    path.write_bytes(good[:start] + noise + good[start + length :])
    try:
        data = load_data(str(path))
    except BadInput:
        return
    assert np.isfinite(data.train.x).all()


def test_load_data__damaged_or_missing_file_or_unknown_name__is_refused(tmp_path: Path) -> None:
    """What can't be read is told apart: no file, no zip, no such name."""
    (tmp_path / "data.npz").write_bytes(b"PK nothing")
    with pytest.raises(BadInput, match=r"to be an \.npz file"):
        load_data(str(tmp_path / "data.npz"))
    with pytest.raises(BadInput, match=r"expected an \.npz file at .*absent\.npz, found none"):
        load_data(str(tmp_path / "absent.npz"))
    with pytest.raises(BadInput, match=r"expected digits or fashion-mnist or a path ending in \.npz, found 'mnist'"):
        load_data("mnist")


def idx(magic: bytes, *sizes: int) -> bytes:
    return magic + b"".join(size.to_bytes(4, "big") for size in sizes)


def test_fashion_mnist__without_the_package__names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install."""
    monkeypatch.setattr(datasets, "FASHION_MNIST", tmp_path)

    with pytest.raises(BadInput, match="install the Debian package dataset-fashion-mnist") as refused:
        load_data("fashion-mnist")

    assert "\n" not in str(refused.value)


def test_fashion_mnist__files_of_the_package__become_scaled_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's four gzipped idx files become 60,000 + 10,000 images in [0, 1]; damaged ones are refused."""
    for name, count in (("train", 60_000), ("t10k", 10_000)):
        images = idx(b"\0\0\x08\x03", count, 28, 28) + bytes(range(256)) * (count * 784 // 256)
        labels = idx(b"\0\0\x08\x01", count) + bytes(range(10)) * (count // 10)
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, 1))
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels, 1))
    monkeypatch.setattr(datasets, "FASHION_MNIST", tmp_path)

    data = load_data("fashion-mnist")

    assert (data.train.x.shape, data.test.x.shape, data.classes) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28), 10)
    assert data.test.x[0, 0, 9, 3] == np.float32((9 * 28 + 3) / 255)

    damaged = tmp_path / "t10k-labels-idx1-ubyte.gz"
    whole = damaged.read_bytes()
    for bytes_, sentence in (
        (whole[:-20], "gzipped idx file"),
        (b"text", "gzipped idx file"),
        (gzip.compress(b"x"), "idx form"),
    ):
        damaged.write_bytes(bytes_)
        with pytest.raises(BadInput, match=sentence):
            load_data("fashion-mnist")


def test_shards__written_and_loaded__are_the_same_set(tmp_path: Path) -> None:
    """Shards hold the samples in order; equal sets give equal bytes."""
    whole = Dataset(X, Y)

    shards = write_shards(whole, tmp_path, samples=5)

    assert len(shards) == 4
    assert encode_dataset(whole) == encode_dataset(Dataset(X.copy(), Y.copy()))
    loaded = load_dataset(shards, input_shape=(3,), classes=4)
    np.testing.assert_array_equal(X, loaded.x)
    np.testing.assert_array_equal(Y, loaded.y)
    parsed = parse_dataset(encode_dataset(whole), input_shape=(3,), classes=4)
    np.testing.assert_array_equal(X, parsed.x)


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (X[:, :2], Y, r"expected x of shape \[n, 3\], found '\[20, 2\]'"),
        (X, Y[:19], "20 samples, 19 labels"),
        (X, Y + 1, "expected labels from 0 to 3, found 1 to 4"),
        (X, Y - 1, "expected labels from 0 to 3, found -1 to 2"),
        (np.where(X > 0.9, np.float32(np.nan), X), Y, "found NaN or infinity"),
        (X.astype(np.float64), Y, "expected x as F32, found 'F64'"),
        (X, Y.astype(np.int32), "expected y as I64, found 'I32'"),
        (X[:0], Y[:0], r"expected x of shape \[n, 3\]"),
    ],
)
def test_parse_dataset__not_what_the_task_says__is_refused(x: Any, y: Any, sentence: str) -> None:
    """A released test set or a shard is compared with the task before anything is computed from it."""
    from safetensors.numpy import save

    with pytest.raises(BadInput, match=sentence):
        parse_dataset(save({"x": x, "y": y}), input_shape=(3,), classes=4)


def test_load_dataset__no_shard_or_an_absent_one__is_refused(tmp_path: Path) -> None:
    """An empty list and a missing file are told apart."""
    with pytest.raises(BadInput, match="at least one shard"):
        load_dataset([], input_shape=(3,), classes=4)
    with pytest.raises(BadInput, match="expected a file at"):
        load_dataset([tmp_path / "absent"], input_shape=(3,), classes=4)

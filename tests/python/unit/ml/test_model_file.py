"""Model files from strangers: whatever is not exactly the task's model is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from dlbc.adapters.ml import load_module
from dlbc.adapters.ml.evaluate import predict
from dlbc.adapters.ml.families import initial_weights
from dlbc.adapters.ml.weights import check_model, save_model
from dlbc.core.architecture import Architecture
from dlbc.core.errors import VerificationFailed
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

ARCHITECTURE = Architecture("mlp", (2,), 2, ())
WEIGHT, BIAS = "linears.0.weight", "linears.0.bias"
GOOD = {
    WEIGHT: {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    BIAS: {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
}


def file_of(header: object, data: bytes = bytes(24)) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def changed(name: str, **fields: Any) -> dict[str, Any]:
    return {**GOOD, name: {**GOOD[name], **fields}}


def test_check_model__the_reader_s_own_good_file__is_accepted() -> None:
    """The hostile files below differ from this one in one thing each."""
    assert [tensor.shape for tensor in check_model(file_of(GOOD), ARCHITECTURE, max_bytes=1000).values()] == [
        (2, 2),
        (2,),
    ]


HOSTILE = {
    "empty": (b"", "expected a safetensors file, found 0 bytes"),
    "text": (b"not a model at all", "expected a safetensors file"),
    "a pickle": (b"\x80\x04\x95" + bytes(60), "expected a safetensors file"),
    "header longer than the file": ((10**6).to_bytes(8, "little") + b"{}", "whose header would be 1000000"),
    "header of 2^63 bytes": ((2**63).to_bytes(8, "little") + b"{}" * 50, "whose header would be"),
    "header over the limit": (file_of(b" " * (2**20 + 1)), "whose header would be 1048577"),
    "header not JSON": (file_of(b"{'a': 1}"), "safetensors header in JSON"),
    "header not text": (file_of(b"\xff\xfe\xff\xfe"), "safetensors header in JSON"),
    "header nested deep": (file_of(b"[" * 100_000), "safetensors header in JSON"),
    "header with a huge number": (file_of(b'{"a":' + b"9" * 10_000 + b"}"), "safetensors header in JSON"),
    "header with NaN": (file_of(b'{"a": NaN}'), "safetensors header in JSON"),
    "name twice": (file_of(b'{"a": {}, "a": {}}'), "unique names"),
    "a list": (file_of([1]), "to be an object, found list"),
    "metadata not text": (file_of({**GOOD, "__metadata__": {"a": 1}}), "metadata to map text to text"),
    "metadata a list": (file_of({**GOOD, "__metadata__": ["a"]}), "metadata to map text to text"),
    "no tensors": (file_of({}), f"missing: {WEIGHT}, {BIAS}; not expected: none"),
    "missing tensor": (file_of({WEIGHT: GOOD[WEIGHT]}, bytes(16)), f"missing: {BIAS}"),
    "extra tensor": (file_of({**GOOD, "evil\n\x1b[31m": GOOD[BIAS]}), r"not expected: evil\n\x1b[31m"),
    "entry a number": (file_of({**GOOD, BIAS: 3}), f"expected dtype, shape and data_offsets for {BIAS}, found '3'"),
    "entry with more keys": (file_of(changed(BIAS, code="x")), "expected dtype, shape and data_offsets"),
    "other dtype": (file_of(changed(BIAS, dtype="F16")), f"expected {BIAS} as F32, found 'F16'"),
    "dtype a list": (file_of(changed(BIAS, dtype=["F32"])), f"expected {BIAS} as F32"),
    "other shape": (file_of(changed(WEIGHT, shape=[4])), f"expected {WEIGHT} of shape [2, 2], found '[4]'"),
    "transposed sizes": (file_of(changed(WEIGHT, shape=[1, 4])), "of shape [2, 2], found '[1, 4]'"),
    "shape of booleans": (file_of(changed(BIAS, shape=[True])), "of shape [2]"),
    "shape of floats": (file_of(changed(BIAS, shape=[2.0])), "of shape [2]"),
    "negative shape": (file_of(changed(WEIGHT, shape=[-2, -2])), "of shape [2, 2]"),
    "shape not a list": (file_of(changed(BIAS, shape=2)), "of shape [2]"),
    "offsets too wide": (file_of(changed(BIAS, data_offsets=[16, 28])), f"expected 8 bytes for {BIAS}"),
    "offsets turned": (file_of(changed(BIAS, data_offsets=[24, 16])), f"expected 8 bytes for {BIAS}"),
    "offsets negative": (file_of(changed(BIAS, data_offsets=[-8, 0])), f"expected 8 bytes for {BIAS}"),
    "offsets huge": (file_of(changed(BIAS, data_offsets=[2**60, 2**60 + 8])), f"expected 8 bytes for {BIAS}"),
    "three offsets": (file_of(changed(BIAS, data_offsets=[16, 24, 32])), f"expected 8 bytes for {BIAS}"),
    "overlap": (file_of(changed(BIAS, data_offsets=[8, 16]), bytes(16)), "without gap or overlap"),
    "gap": (file_of(changed(BIAS, data_offsets=[20, 28]), bytes(28)), "without gap or overlap"),
    "data missing": (file_of(GOOD, bytes(23)), "fill the 23 data bytes"),
    "data left over": (file_of(GOOD, bytes(25)), "fill the 25 data bytes"),
    "NaN": (file_of(GOOD, np.array([1, 2, np.nan, 4, 5, 6], "<f4").tobytes()), f"expected finite values in {WEIGHT}"),
    "infinity": (
        file_of(GOOD, np.array([1, 2, 3, 4, 5, np.inf], "<f4").tobytes()),
        f"expected finite values in {BIAS}",
    ),
    "over the limit": (file_of(GOOD, bytes(1000)), "expected at most 1000 bytes"),
}


@pytest.mark.parametrize("case", [name for name in HOSTILE if name != "header over the limit"])
@pytest.mark.parametrize("as_path", [False, True])
def test_check_model__hostile_file__is_refused_in_one_sentence(case: str, as_path: bool, tmp_path: Path) -> None:
    """From memory and from disk, each malformed file gives VerificationFailed with what was expected and found."""
    data, sentence = HOSTILE[case]
    model: bytes | Path = data
    if as_path:
        model = tmp_path / "model.safetensors"
        model.write_bytes(data)

    limit = 300_000 if case == "header nested deep" or case == "header with a huge number" else 1000
    with pytest.raises(VerificationFailed) as refused:
        check_model(model, ARCHITECTURE, max_bytes=limit)

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_check_model__header_over_the_limit__is_refused_unparsed() -> None:
    """A file may be large, its header may not."""
    data, sentence = HOSTILE["header over the limit"]

    with pytest.raises(VerificationFailed, match=sentence):
        check_model(data, ARCHITECTURE, max_bytes=2**24)


def test_check_model__no_file_or_a_folder__is_refused(tmp_path: Path) -> None:
    """A path that holds no file is told as such."""
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(VerificationFailed, match="expected a file at"):
            check_model(path, ARCHITECTURE, max_bytes=1000)


@given(st.binary(max_size=300), st.integers(0, 250), st.integers(0, 100))
def test_check_model__mutated_bytes__either_pass_or_are_refused(noise: bytes, start: int, length: int) -> None:
    """No bytes make the reader raise anything but VerificationFailed."""
    good = file_of(GOOD)
    data = good[:start] + noise + good[start + length :]
    try:
        weights = check_model(data, ARCHITECTURE, max_bytes=2**16)
    except VerificationFailed:
        return
    assert {WEIGHT, BIAS} == set(weights)
    assert all(np.isfinite(tensor).all() for tensor in weights.values())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([WEIGHT, BIAS, "dtype", "shape", "data_offsets"]), inner, max_size=3)
        ),
    )
)
def test_check_model__any_json_header__is_refused(header: object) -> None:
    """No JSON value of the wrong form reaches the tensors."""
    with pytest.raises(VerificationFailed):
        check_model(file_of(header), ARCHITECTURE, max_bytes=2**16)


def test_save_model__any_model__is_read_by_the_reference_library_and_by_us(tmp_path: Path) -> None:
    """Files are plain safetensors; equal weights give equal bytes; the values survive exactly."""
    architecture = Architecture("cnn", (1, 8, 8), 3, (5,), (4,))
    weights = initial_weights(architecture, b"\x07" * 32)

    size = save_model(weights, tmp_path / "a.safetensors")
    save_model(dict(reversed(weights.items())), tmp_path / "b.safetensors")

    assert size == (tmp_path / "a.safetensors").stat().st_size
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    theirs = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    ours = check_model(tmp_path / "a.safetensors", architecture, max_bytes=size)
    assert list(weights) == list(ours)
    for name, tensor in weights.items():
        np.testing.assert_array_equal(tensor, theirs[name])
        np.testing.assert_array_equal(tensor, ours[name])
    with pytest.raises(VerificationFailed, match=f"at most {size - 1} bytes"):
        check_model(tmp_path / "a.safetensors", architecture, max_bytes=size - 1)


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture("cnn", (1, 8, 8), 6, (16,), (8,)),
        Architecture("resnet", (1, 8, 8), 6, (), (8, 16), (1, 1)),
        Architecture("transformer", (1, 8, 8), 6, (), width=16, heads=2, layers=1),
        Architecture("unet", (1, 8, 8), 6, (), (4, 8)),
    ],
    ids=lambda architecture: architecture.family,
)
def test_load_module__saved_model__predicts_as_the_pinned_evaluator(architecture: Architecture, tmp_path: Path) -> None:
    """The nn.Module that users get is the model that was scored; it is in eval mode."""
    weights = initial_weights(architecture, b"\x08" * 32)
    save_model(weights, tmp_path / "model.safetensors")
    x = np.random.default_rng(0).standard_normal((600, 1, 8, 8), dtype=np.float32)

    module = load_module(tmp_path / "model.safetensors", architecture)

    assert not module.training
    with torch.no_grad():
        logits = module(torch.from_numpy(x))
    np.testing.assert_array_equal(predict(weights, architecture, x), logits.argmax(1).numpy())


def test_predict__equal_logits__give_the_lowest_class() -> None:
    """Ties are broken the same way everywhere; no samples give no classes."""
    zeros = {WEIGHT: np.zeros((2, 2), np.float32), BIAS: np.zeros(2, np.float32)}

    assert predict(zeros, ARCHITECTURE, np.ones((257, 2), np.float32)).tolist() == [0] * 257
    assert predict(zeros, ARCHITECTURE, np.ones((0, 2), np.float32)).shape == (0,)

"""ONNX files by torch's real exporter, run by onnx's reference evaluator: the same model, for every family."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from dlbc.adapters.ml import exports
from dlbc.adapters.ml.evaluate import logits
from dlbc.adapters.ml.exports import FileExports
from dlbc.adapters.ml.families import initial_weights
from dlbc.core.architecture import FAMILIES, Architecture, logits_shape, tensor_shapes
from dlbc.core.errors import Refused, Usage, VerificationFailed
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

pytestmark = pytest.mark.contract

ARCHITECTURES = {
    "mlp": Architecture("mlp", (1, 6, 6), 5, (16,)),
    "cnn": Architecture("cnn", (2, 9, 8), 5, (16,), (4, 6)),
    "resnet": Architecture("resnet", (1, 8, 8), 5, (), (4, 8), (1, 1)),
    "transformer": Architecture("transformer", (1, 8, 8), 5, (), width=8, heads=2, layers=2),
    "unet": Architecture("unet", (1, 8, 8), 3, (), (4, 8)),
    "fcn": Architecture("fcn", (1, 32, 32), 3, (8, 8), (4, 4, 4, 4, 4)),
}
ABOUT = {"model_hash": "07" * 32, "task": "12", "market": "0x" + "1" * 40, "block_height": "41"}


def trained(architecture: Architecture) -> dict[str, NDArray[np.float32]]:
    """Weights as training leaves them: no zero biases, no norms that change nothing."""
    chance, weights = np.random.default_rng(5), initial_weights(architecture, b"\x06" * 32)
    for name, tensor in weights.items():
        if tensor.ndim == 1:
            weights[name] = chance.uniform(0.5, 1.5, tensor.shape).astype(np.float32)
    return weights


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """One file of each family."""
    return {
        family: FileExports().to_onnx(trained(architecture), architecture, ABOUT)
        for family, architecture in ARCHITECTURES.items()
    }


def parsed(data: bytes) -> Any:
    """As any other program reads it."""
    model = onnx.ModelProto()
    model.ParseFromString(data)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_onnx__any_family_and_batch__computes_what_the_evaluator_does(files: dict[str, bytes], family: str) -> None:
    """One sample, the two it was traced with, and more; the classes agree, the logits up to rounding."""
    architecture = ARCHITECTURES[family]
    evaluator = ReferenceEvaluator(parsed(files[family]))
    for samples in (1, 2, 5):
        x = np.random.default_rng(samples).standard_normal((samples, *architecture.input_shape), dtype=np.float32)
        (found,) = evaluator.run(["logits"], {"x": x})
        expected = logits(trained(architecture), architecture, x)
        assert found.shape == (samples, *logits_shape(architecture))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * float(np.abs(expected).max()))
        np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_onnx__any_family__says_what_it_is_and_holds_the_weights_by_name(files: dict[str, bytes], family: str) -> None:
    """Checked by onnx; opset 18 alone, a free batch, our metadata, every tensor of the state dict bit for bit."""
    architecture, model = ARCHITECTURES[family], parsed(files[family])
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain or "ai.onnx": entry.version for entry in model.opset_import if entry.domain == ""} == {
        "ai.onnx": 18
    }
    assert {node.domain for node in model.graph.node} == {""}
    assert {entry.key: entry.value for entry in model.metadata_props} == ABOUT
    assert "what the ledger records" in model.doc_string
    shapes = (architecture.input_shape, logits_shape(architecture))
    for (only,), shape in zip((model.graph.input, model.graph.output), shapes, strict=True):
        batch, *rest = only.type.tensor_type.shape.dim
        assert (batch.dim_param, [size.dim_value for size in rest]) == ("batch", list(shape))
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weights = trained(architecture)
    assert set(tensor_shapes(architecture)) <= set(held)
    for name, tensor in weights.items():
        assert held[name].tobytes() == tensor.tobytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_onnx__any_family__tells_nothing_of_the_machine_it_was_made_on(files: dict[str, bytes], family: str) -> None:
    """The exporter notes lines of source with their folders; a file that is passed on has none."""
    for trace in (str(Path(exports.__file__).parent), "site-packages", f"{Path.home()}/", ".py"):
        assert trace.encode() not in files[family]


def test_onnx__the_same_model__gives_the_same_bytes(files: dict[str, bytes]) -> None:
    """So a file can be compared with what the client makes of the recorded weights."""
    architecture = ARCHITECTURES["cnn"]
    assert files["cnn"] == FileExports().to_onnx(trained(architecture), architecture, dict(reversed(ABOUT.items())))


def test_onnx__export__prints_nothing_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Standard output is for the command's own answer."""
    monkeypatch.chdir(tmp_path)
    architecture = ARCHITECTURES["mlp"]
    FileExports().to_onnx(trained(architecture), architecture, ABOUT)
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_read_onnx__own_file__every_part_is_seen(files: dict[str, bytes]) -> None:
    """A change of one bit in a weight, a note or a node is a change of that part alone."""
    ours = FileExports().read_onnx(files["cnn"])
    assert ours.about == ABOUT
    assert ours.producer == f"pytorch {torch.__version__.partition('+')[0]}"

    def changed(change: Any) -> set[str]:
        model = parsed(files["cnn"])
        change(model)
        theirs = FileExports().read_onnx(model.SerializeToString())
        return {part for part in ("tensors", "about", "rest") if getattr(ours, part) != getattr(theirs, part)}

    def weight(model: Any) -> None:
        raw = bytearray(model.graph.initializer[0].raw_data)
        raw[0] ^= 1
        model.graph.initializer[0].raw_data = bytes(raw)

    def note(model: Any) -> None:
        model.metadata_props[0].value += "1"

    def node(model: Any) -> None:
        next(each for each in model.graph.node if each.op_type == "Relu").op_type = "Neg"

    def hidden(model: Any) -> None:
        model.graph.node.append(helper.make_node("Constant", [], ["more"], value_float=1.0))

    assert changed(lambda model: None) == set()
    assert (changed(weight), changed(note)) == ({"tensors"}, {"about"})
    assert (changed(node), changed(hidden)) == ({"rest"}, {"rest"})


def test_read_onnx__weights_kept_elsewhere__refused_and_nothing_is_opened(files: dict[str, bytes]) -> None:
    """A file of a stranger doesn't make the client read others."""
    model = parsed(files["mlp"])
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    with pytest.raises(VerificationFailed, match=r"expected all weights in it, found .* elsewhere"):
        FileExports().read_onnx(model.SerializeToString())


def test_read_onnx__a_weight_twice_or_no_graph__refused(files: dict[str, bytes]) -> None:
    """Neither of two readers could take them for different models."""
    model = parsed(files["mlp"])
    model.graph.initializer.append(model.graph.initializer[0])
    with pytest.raises(VerificationFailed, match="expected each weight once"):
        FileExports().read_onnx(model.SerializeToString())
    for data in (b"", b"not a model", b"\x80\x04\x95", files["mlp"][:1000]):
        with pytest.raises(VerificationFailed, match=r"^ONNX file: expected"):
            FileExports().read_onnx(data)


@given(noise=st.binary(max_size=50), start=st.integers(0, 4000), length=st.integers(0, 50))
def test_read_onnx__mutated_bytes__are_read_or_refused(
    files: dict[str, bytes], noise: bytes, start: int, length: int
) -> None:
    """No bytes raise anything but VerificationFailed."""
    good = files["mlp"]
    try:
        FileExports().read_onnx(good[:start] + noise + good[start + length :])
    except VerificationFailed:
        return


def test_check_onnx__package_missing__is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one, and what to install."""
    monkeypatch.setattr(exports, "find_spec", lambda name: None)
    sentence = r"ONNX needs the packages onnx and onnxscript, not installed here; .*dlbc\[export\]"
    with pytest.raises(Usage, match=sentence):
        FileExports().check_onnx(ARCHITECTURES["mlp"])
    monkeypatch.setattr(exports, "find_spec", lambda name: None if name == "onnx" else sys)
    with pytest.raises(Usage, match="needs the package onnx, not"):
        FileExports().check_onnx(ARCHITECTURES["mlp"])


def test_check_onnx__model_of_2_gib__is_refused_before_anything_is_allocated() -> None:
    """A protocol buffer can't hold it."""
    with pytest.raises(Refused, match="holds at most 2130706432 bytes of weights, this model has"):
        FileExports().check_onnx(Architecture("mlp", (2**15,), 10, (2**14, 2**10)))

"""A disguised copy is brought back into the frame of its original, and nobody else's model is made to look like it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dlbc.adapters.ml.evaluate import logits
from dlbc.adapters.ml.families import initial_weights
from dlbc.core import watermark
from dlbc.core.alignment import align
from dlbc.core.architecture import Architecture, tensor_shapes
from dlbc.core.errors import BadInput, VerificationFailed
from dlbc.core.symmetry import symmetry_of
from dlbc.core.types import Address
from fakes.disguise import disguised
from numpy.typing import NDArray

pytestmark = pytest.mark.unit

FAMILIES = {
    "mlp": Architecture("mlp", (1, 8, 8), 10, (256, 192)),
    "cnn": Architecture("cnn", (1, 8, 8), 10, (128,), (32, 64)),
    "resnet": Architecture("resnet", (3, 8, 8), 10, (), (24, 48), blocks=(1, 2)),
    "unet": Architecture("unet", (1, 8, 8), 3, (), (24, 32, 48)),
    "fcn": Architecture("fcn", (1, 32, 32), 3, (64, 64), (8, 16, 32, 32, 48)),
    "transformer": Architecture("transformer", (1, 16, 8), 10, (), width=64, heads=4, layers=2),
}
KEY, PAYLOAD = bytes(range(32)), watermark.payload(1, Address("0x" + "11" * 20), 1, 0, Address("0x" + "22" * 20), 0)

Weights = dict[str, NDArray[Any]]


def lively(architecture: Architecture, seed: int) -> Weights:
    """Weights as after some training: no tensor is constant, normalisations have scales of their own."""
    random = np.random.default_rng(seed)
    weights = initial_weights(architecture, bytes([seed]) * 32)
    for name, tensor in weights.items():
        if tensor.ndim == 1:
            tensor += random.standard_normal(tensor.shape).astype(np.float32) / 10
        if "norm" in name and name.endswith(("weight", "running_var")):
            tensor[...] = np.abs(tensor) + 0.5
    return weights


def marked(architecture: Architecture, seed: int = 1) -> Weights:
    weights = lively(architecture, seed)
    watermark.embed(weights, KEY, 0, PAYLOAD)
    return weights


def strength(weights: Weights) -> float:
    return watermark.detect(weights, KEY, 0, PAYLOAD).strength


@pytest.mark.parametrize("family", FAMILIES)
def test_symmetry__any_family__names_every_axis_of_the_layers(family: str) -> None:
    """Segments cover the axes of every weight they speak of, and each group has one size everywhere."""
    architecture = FAMILIES[family]
    shapes, sizes = tensor_shapes(architecture), {}
    for layer in symmetry_of(architecture).layers:
        shape = shapes[layer.weight]
        assert shape[layer.out_axis] == layer.out.size
        assert shape[layer.in_axis] == sum(part.size for part in layer.ins)
        for part in (layer.out, *layer.ins):
            assert sizes.setdefault(part.group, part.units) == part.units or part.group is None


@pytest.mark.parametrize("family", FAMILIES)
def test_symmetry__any_family__knows_every_weight_that_carries(family: str) -> None:
    """What carries and is not told by units would be lost to a disguise; class maps of an fcn have no units."""
    shapes = tensor_shapes(FAMILIES[family])
    known = {layer.weight for layer in symmetry_of(FAMILIES[family]).layers}

    unknown = {name for name, shape in shapes.items() if watermark.carries(name, shape)} - known

    assert unknown == ({"up2.weight", "up4.weight", "up8.weight"} if family == "fcn" else set())


@pytest.mark.parametrize("family", FAMILIES)
def test_align__disguised_copy__reads_the_mark_again(family: str) -> None:
    """Another file of the same function: blind detection is silent, after alignment nothing is missing."""
    architecture = FAMILIES[family]
    original = marked(architecture)
    copy = disguised(original, architecture, seed=5)
    x = np.random.default_rng(0).random((16, *architecture.input_shape), np.float32)
    expected, found = logits(original, architecture, x), logits(copy, architecture, x)
    assert np.abs(found - expected).max() <= 2e-3 * np.abs(expected).max()
    assert abs(strength(copy)) < 6

    aligned = align(copy, original, architecture)

    assert aligned.cosine > 0.97
    assert strength(aligned.weights) > 0.95 * strength(original)


@pytest.mark.parametrize("family", FAMILIES)
def test_align__disguised_and_noisy_copy__is_still_the_own_mark(family: str) -> None:
    """A disguise on top of noise of three tenths of each tensor's size does not hide the mark."""
    architecture, random = FAMILIES[family], np.random.default_rng(3)
    original = marked(architecture)
    noisy = {
        name: (tensor + 0.3 * tensor.std() * random.standard_normal(tensor.shape)).astype(np.float32)
        if tensor.ndim > 1
        else tensor
        for name, tensor in original.items()
    }

    aligned = align(disguised(noisy, architecture, seed=6), original, architecture)

    assert watermark.detect(aligned.weights, KEY, 0, PAYLOAD).reaches(watermark.OWN)


@pytest.mark.parametrize("family", FAMILIES)
def test_align__somebody_elses_model__stays_innocent(family: str) -> None:
    """Independent models, marked or not, do not grow a mark by being aligned: the carriers are never matched."""
    architecture = FAMILIES[family]
    original = marked(architecture)
    for seed in (2, 3, 4):
        aligned = align(lively(architecture, seed), original, architecture)
        assert abs(strength(aligned.weights)) < 6


def test_align__the_original_itself__changes_nothing() -> None:
    """Already in its own frame: the same weights to rounding."""
    architecture = FAMILIES["cnn"]
    original = marked(architecture)

    aligned = align(original, original, architecture)

    for name, tensor in original.items():
        np.testing.assert_allclose(aligned.weights[name], tensor, rtol=1e-3, atol=1e-6)


def test_align__twice_with_threads_or_without__gives_the_same_bytes() -> None:
    """Sums are exact, so a verifier with another order of summation finds the same: here the units come in reverse."""
    architecture = FAMILIES["mlp"]
    original, random = marked(architecture), np.random.default_rng(9)
    copy = disguised(original, architecture, seed=7)
    order = random.permutation(256)
    other = dict(copy)
    other["linears.0.weight"] = copy["linears.0.weight"][order]
    other["linears.0.bias"] = copy["linears.0.bias"][order]
    other["linears.1.weight"] = copy["linears.1.weight"][:, order]

    first, second = (align(weights, original, architecture).weights for weights in (copy, other))

    assert all(first[name].tobytes() == second[name].tobytes() for name in first if name.endswith("weight"))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_align__constant_weights__are_no_copy(value: float) -> None:
    """Layers without any contrast are answered, not divided by."""
    architecture = FAMILIES["mlp"]
    original = marked(architecture)
    constant = {name: np.full_like(tensor, value) for name, tensor in original.items()}

    aligned = align(constant, original, architecture)

    assert all(np.isfinite(tensor).all() for tensor in aligned.weights.values())
    assert abs(strength(aligned.weights)) < 6


def extreme(architecture: Architecture, value: float) -> dict[str, Any]:
    """Weights of random signs, all of this size."""
    random = np.random.default_rng(4)
    return {
        name: np.abs(tensor) + np.float32(value)
        if "running_var" in name
        else (np.sign(random.standard_normal(tensor.shape)) * value).astype(np.float32)
        for name, tensor in lively(architecture, 2).items()
    }


@pytest.mark.parametrize("value", [3e38, 1e-45])
@pytest.mark.parametrize("family", FAMILIES)
def test_align__extreme_weights__are_answered(family: str, value: float) -> None:
    """A stranger's numbers neither overflow into NaN nor end the audit."""
    architecture = FAMILIES[family]
    aligned = align(extreme(architecture, value), marked(architecture), architecture)

    assert all(np.isfinite(tensor).all() for tensor in aligned.weights.values())
    assert abs(strength(aligned.weights)) < 6


@pytest.mark.parametrize("value", [3e38, 1e-45])
@pytest.mark.parametrize("family", FAMILIES)
def test_align__original_is_extreme__an_honest_suspect_stays_finite(family: str, value: float) -> None:
    """Whoever opens such a model once is compared with everybody that comes later."""
    architecture = FAMILIES[family]
    aligned = align(lively(architecture, 1), extreme(architecture, value), architecture)

    assert all(np.isfinite(tensor).all() for tensor in aligned.weights.values())
    assert abs(strength(aligned.weights)) < 6


def test_align__layer_too_wide_for_an_auditors_memory__is_refused_unread() -> None:
    """The cosines of 100,000 units with each other would take 80 GB; the task's author may have meant that."""
    architecture = Architecture("mlp", (4,), 2, (100_000,))
    weights = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(architecture).items()}

    with pytest.raises(BadInput, match=r"at most 8192 units .* found 100000 and 400000 in linears\.0\.weight"):
        align(weights, weights, architecture)


def test_align__dead_units__are_left_dead() -> None:
    """Pruned units take the places nobody else wants."""
    architecture = FAMILIES["mlp"]
    original = marked(architecture)
    pruned = {name: tensor.copy() for name, tensor in original.items()}
    pruned["linears.0.weight"][100:140] = 0

    aligned = align(disguised(pruned, architecture, seed=8), original, architecture)

    assert strength(aligned.weights) > 0.8 * strength(original)


def test_align__other_shapes__are_refused() -> None:
    """Added dummy units make another architecture, which no audit accepts."""
    architecture = FAMILIES["mlp"]
    original = marked(architecture)
    wider = original | {"linears.0.weight": np.zeros((300, 64), np.float32)}

    with pytest.raises(VerificationFailed, match=r"expected the tensors of the mlp, found others: linears\.0\.weight"):
        align(wider, original, architecture)


def test_symmetry_of__unknown_family__is_refused() -> None:
    """A family that nobody described can't be aligned, and says so."""
    with pytest.raises(BadInput, match="alignment: expected one of the families mlp"):
        symmetry_of(Architecture("gru", (1,), 2, ()))

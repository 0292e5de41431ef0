"""Architectures are names and numbers only; parameters and operations are counted exactly."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
from dlbc.core.architecture import (
    Architecture,
    activations,
    architecture_from_json,
    architecture_to_json,
    flops_per_sample,
    parameters,
    tensor_shapes,
)
from dlbc.core.errors import BadInput
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

MLP = {"family": "mlp", "input_shape": [1, 8, 8], "classes": 10, "hidden": [128]}
CNN = {"family": "cnn", "input_shape": [3, 32, 30], "classes": 10, "hidden": [64], "channels": [8, 16]}
WIDTHS = st.integers(1, 50)


def test_mlp__shapes_parameters_and_operations__counted_by_hand() -> None:
    """64 → 128 → 10: weights and biases, two operations per multiply-add."""
    mlp = architecture_from_json(MLP)

    assert tensor_shapes(mlp) == {
        "linears.0.weight": (128, 64),
        "linears.0.bias": (128,),
        "linears.1.weight": (10, 128),
        "linears.1.bias": (10,),
    }
    assert parameters(mlp) == 64 * 128 + 128 + 128 * 10 + 10
    assert flops_per_sample(mlp) == 2 * (64 * 128 + 128 * 10)


def test_cnn__shapes_parameters_and_operations__counted_by_hand() -> None:
    """3x3 convolutions at full size, 2x2 pooling rounded down, then the linear part."""
    cnn = architecture_from_json(CNN)
    features = 16 * 8 * 7

    assert tensor_shapes(cnn) == {
        "convs.0.weight": (8, 3, 3, 3),
        "convs.0.bias": (8,),
        "convs.1.weight": (16, 8, 3, 3),
        "convs.1.bias": (16,),
        "linears.0.weight": (64, features),
        "linears.0.bias": (64,),
        "linears.1.weight": (10, 64),
        "linears.1.bias": (10,),
    }
    convolutions = 8 * 3 * 9 * 32 * 30 + 16 * 8 * 9 * 16 * 15
    assert 2 * (convolutions + features * 64 + 64 * 10) == flops_per_sample(cnn)


@given(
    hidden=st.lists(WIDTHS, max_size=4),
    channels=st.lists(WIDTHS, max_size=3),
    shape=st.tuples(WIDTHS, st.integers(8, 40), st.integers(8, 40)),
    classes=st.integers(2, 50),
)
def test_architecture__any_valid__comes_back_from_json(
    hidden: list[int], channels: list[int], shape: tuple[int, int, int], classes: int
) -> None:
    """JSON and architecture determine each other, and the parameters are those of the tensors."""
    family = "cnn" if channels else "mlp"
    architecture = Architecture(family, shape, classes, tuple(hidden), tuple(channels))

    assert architecture == architecture_from_json(architecture_to_json(architecture))
    assert parameters(architecture) == sum(prod(shape) for shape in tensor_shapes(architecture).values())
    assert flops_per_sample(architecture) > 0


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="nothing"),
        pytest.param("mlp", id="text"),
        pytest.param([], id="list"),
        pytest.param({}, id="empty"),
        pytest.param({**MLP, "family": "resnet"}, id="unknown family"),
        pytest.param({**MLP, "family": ["mlp"]}, id="family a list"),
        pytest.param({**MLP, "module": "os.system"}, id="unknown setting"),
        pytest.param({**MLP, "classes": 1}, id="one class"),
        pytest.param({**MLP, "classes": True}, id="classes a bool"),
        pytest.param({**MLP, "classes": 10.0}, id="classes a fraction"),
        pytest.param({**MLP, "classes": 10**400}, id="classes huge"),
        pytest.param({**MLP, "classes": 1 << 20_000}, id="classes too long to print"),
        pytest.param({**MLP, "hidden": [1 << 20_000] * 65}, id="widths too long to print"),
        pytest.param({**MLP, "family": 1 << 20_000}, id="family a long number"),
        pytest.param({**MLP, 1 << 20_000: 1}, id="a long number as a setting"),
        pytest.param({**MLP, "hidden": "128"}, id="hidden a text"),
        pytest.param({**MLP, "hidden": b"12"}, id="hidden bytes"),
        pytest.param({**MLP, "hidden": [0]}, id="no width"),
        pytest.param({**MLP, "hidden": [1] * 65}, id="too many layers"),
        pytest.param({**MLP, "hidden": [2**20, 2**20]}, id="too many parameters"),
        pytest.param({**MLP, "input_shape": []}, id="no shape"),
        pytest.param({**MLP, "input_shape": [1] * 5}, id="five dimensions"),
        pytest.param({**MLP, "channels": [8]}, id="mlp with channels"),
        pytest.param({**CNN, "channels": []}, id="cnn without channels"),
        pytest.param({**CNN, "channels": [8] * 6}, id="poolings leave nothing"),
        pytest.param({**CNN, "input_shape": [32, 30]}, id="cnn with two dimensions"),
    ],
)
def test_architecture_from_json__hostile__one_sentence(value: Any) -> None:
    """Whatever a stranger calls an architecture is refused in one short sentence."""
    with pytest.raises(BadInput, match=r"^architecture") as caught:
        architecture_from_json(value)
    assert len(str(caught.value)) < 250


def test_architecture__few_parameters_but_a_terabyte_in_a_layer__refused() -> None:
    """What a sample takes in memory is bounded too: 140,803 parameters, 4 GiB for each sample in one layer."""
    bomb = {"family": "cnn", "input_shape": [1, 1024, 1024], "classes": 2, "hidden": [], "channels": [512, 1]}

    with pytest.raises(BadInput, match=r"expected at most 67108864 values of a sample in one layer, found 10747904"):
        architecture_from_json(bomb)


def test_activations__cnn_and_mlp__largest_layer() -> None:
    """Input, output and the output's ReLU; the first convolution works at full size."""
    assert activations(architecture_from_json(MLP)) == 64 + 2 * 128
    assert activations(architecture_from_json(CNN)) == (3 + 2 * 8) * 32 * 30

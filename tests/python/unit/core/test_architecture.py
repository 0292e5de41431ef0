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
    logits_shape,
    parameter_shapes,
    parameters,
    stored_values,
    tensor_shapes,
    training_activations,
)
from dlbc.core.errors import BadInput
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

MLP = {"family": "mlp", "input_shape": [1, 8, 8], "classes": 10, "hidden": [128]}
CNN = {"family": "cnn", "input_shape": [3, 32, 30], "classes": 10, "hidden": [64], "channels": [8, 16]}
RESNET = {"family": "resnet", "input_shape": [3, 9, 8], "classes": 10, "channels": [8, 16], "blocks": [1, 2]}
TRANSFORMER = {
    "family": "transformer",
    "input_shape": [2, 6, 5],
    "classes": 10,
    "width": 8,
    "heads": 2,
    "layers": 1,
}
UNET = {"family": "unet", "input_shape": [1, 8, 16], "classes": 3, "channels": [4, 8, 16]}
FCN = {"family": "fcn", "input_shape": [1, 32, 64], "classes": 3, "channels": [2, 3, 4, 5, 6], "hidden": [7, 8]}
EVERY = [MLP, CNN, RESNET, TRANSFORMER, UNET, FCN]
WIDTHS = st.integers(1, 50)
FEW = st.integers(1, 9)
IMAGES = st.tuples(FEW, st.integers(1, 40), st.integers(1, 40))


def residual(channels_and_blocks: list[tuple[int, int]], shape: tuple[int, ...]) -> Architecture:
    """A resnet from its stages."""
    channels, blocks = zip(*channels_and_blocks, strict=True)
    return Architecture("resnet", shape, 5, (), channels, blocks)


ARCHITECTURES = st.one_of(
    st.builds(residual, st.lists(st.tuples(FEW, st.integers(1, 3)), min_size=1, max_size=4), IMAGES),
    st.builds(
        lambda shape, heads, width, layers: Architecture(
            "transformer", shape, 5, (), width=heads * width, heads=heads, layers=layers
        ),
        st.lists(FEW, min_size=2, max_size=4).map(tuple),
        FEW,
        FEW,
        st.integers(1, 4),
    ),
    st.builds(
        lambda channels, height, width: Architecture(
            "unet", (2, height << len(channels) - 1, width << len(channels) - 1), 5, (), tuple(channels)
        ),
        st.lists(FEW, min_size=2, max_size=4),
        FEW,
        FEW,
    ),
    st.builds(
        lambda channels, hidden, height, width: Architecture("fcn", (2, 32 * height, 32 * width), 5, hidden, channels),
        st.tuples(*[FEW] * 5),
        st.tuples(FEW, FEW),
        st.integers(1, 3),
        st.integers(1, 3),
    ),
)


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


def test_resnet__shapes_parameters_and_operations__counted_by_hand() -> None:
    """A stem, then three blocks: 9x8 pixels at first, 5x4 from the second stage on. Statistics are no parameters."""
    resnet = architecture_from_json(RESNET)
    shapes = tensor_shapes(resnet)

    assert {name: shape for name, shape in shapes.items() if name.startswith("stages.1.0.")} == {
        "stages.1.0.conv1.weight": (16, 8, 3, 3),
        "stages.1.0.norm1.weight": (16,),
        "stages.1.0.norm1.bias": (16,),
        "stages.1.0.norm1.running_mean": (16,),
        "stages.1.0.norm1.running_var": (16,),
        "stages.1.0.conv2.weight": (16, 16, 3, 3),
        "stages.1.0.norm2.weight": (16,),
        "stages.1.0.norm2.bias": (16,),
        "stages.1.0.norm2.running_mean": (16,),
        "stages.1.0.norm2.running_var": (16,),
        "stages.1.0.shortcut.weight": (16, 8, 1, 1),
        "stages.1.0.shortcut_norm.weight": (16,),
        "stages.1.0.shortcut_norm.bias": (16,),
        "stages.1.0.shortcut_norm.running_mean": (16,),
        "stages.1.0.shortcut_norm.running_var": (16,),
    }
    assert [name for name in shapes if "shortcut.weight" in name] == ["stages.1.0.shortcut.weight"]
    weights = 9 * (3 * 8 + 2 * 8 * 8 + 8 * 16 + 3 * 16 * 16) + 8 * 16
    norms = 2 * (3 * 8 + 5 * 16)
    assert parameters(resnet) == weights + norms + 16 * 10 + 10
    assert stored_values(resnet) == parameters(resnet) + norms
    large, small = 9 * (3 * 8 + 2 * 8 * 8), 9 * (8 * 16 + 3 * 16 * 16) + 8 * 16
    assert flops_per_sample(resnet) == 2 * (large * 72 + small * 20 + 16 * 10)


def test_transformer__shapes_parameters_and_operations__counted_by_hand() -> None:
    """Six tokens of ten features (five columns of two channels), a stream of eight, one block."""
    transformer = architecture_from_json(TRANSFORMER)
    shapes = tensor_shapes(transformer)

    assert (shapes["position"], shapes["embedding.weight"]) == ((6, 8), (8, 10))
    assert (shapes["blocks.0.up.weight"], shapes["blocks.0.down.weight"]) == ((32, 8), (8, 32))
    assert {(8, 8)} == {shapes[f"blocks.0.attention.{part}.weight"] for part in ("query", "key", "value", "out")}
    block = 12 * 8 * 8 + 4 * 8 + 32 + 8 + 4 * 8
    assert parameters(transformer) == 6 * 8 + 10 * 8 + 8 + block + 2 * 8 + 8 * 10 + 10
    tokens = 10 * 8 + 12 * 8 * 8 + 2 * 6 * 8
    assert flops_per_sample(transformer) == 2 * (6 * tokens + 8 * 10)


def test_unet__shapes_and_operations__counted_by_hand() -> None:
    """Two levels above a bottom; on the way up a level's own output is joined to what comes from below."""
    unet = architecture_from_json(UNET)
    shapes = tensor_shapes(unet)

    assert shapes["up.1.transpose.weight"] == (16, 8, 2, 2)
    assert (shapes["up.1.conv1.weight"], shapes["up.1.conv2.weight"]) == ((8, 16, 3, 3), (8, 8, 3, 3))
    down = 9 * (4 + 16) * 128 + 9 * (4 * 8 + 8 * 8) * 32 + 9 * (8 * 16 + 16 * 16) * 8
    up = 4 * 16 * 8 * 8 + 9 * (16 * 8 + 8 * 8) * 32 + 4 * 8 * 4 * 32 + 9 * (8 * 4 + 4 * 4) * 128 + 4 * 3 * 128
    assert flops_per_sample(unet) == 2 * (down + up)
    assert logits_shape(unet) == (3, 8, 16)


def test_fcn__shapes_and_operations__counted_by_hand() -> None:
    """Scores of three stages, the deepest at a thirty-second of the size, are enlarged and added."""
    fcn = architecture_from_json(FCN)
    shapes = tensor_shapes(fcn)

    assert (shapes["fc6.weight"], shapes["fc7.weight"]) == ((7, 6, 3, 3), (8, 7, 1, 1))
    assert tuple(shapes[f"{name}.weight"] for name in ("score", "score4", "score3")) == (
        (3, 8, 1, 1),
        (3, 5, 1, 1),
        (3, 4, 1, 1),
    )
    assert (shapes["up4.weight"], shapes["up8.weight"]) == ((3, 3, 4, 4), (3, 3, 16, 16))
    stages = 9 * (2 * 2048 + 2 * 3 * 512 + 3 * 4 * 128 + 4 * 5 * 32 + 5 * 6 * 8)
    scores = 9 * 6 * 7 * 2 + 7 * 8 * 2 + 8 * 3 * 2 + 5 * 3 * 8 + 4 * 3 * 32
    ups = 16 * 9 * (2 + 8) + 256 * 9 * 32
    assert flops_per_sample(fcn) == 2 * (stages + scores + ups)
    assert logits_shape(fcn) == (3, 32, 64)


@pytest.mark.parametrize("value", EVERY, ids=lambda value: str(value["family"]))
def test_architecture_to_json__each_family__has_its_settings_and_no_other(value: dict[str, Any]) -> None:
    """Manifests are hashed, so the form is fixed: a family's own settings, even where empty, and nothing else."""
    assert value == architecture_to_json(architecture_from_json(value))


@given(ARCHITECTURES)
def test_architecture__any_of_the_deeper_families__comes_back_from_json(architecture: Architecture) -> None:
    """JSON and architecture determine each other; what is counted is what the tensors hold."""
    assert architecture == architecture_from_json(architecture_to_json(architecture))
    assert parameters(architecture) == sum(prod(shape) for shape in parameter_shapes(architecture).values())
    assert min(activations(architecture), training_activations(architecture), flops_per_sample(architecture)) > 0


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
        pytest.param({**MLP, "family": "lenet"}, id="unknown family"),
        pytest.param({**MLP, "family": "resnet"}, id="resnet of an mlp's settings"),
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
        pytest.param({**MLP, "channels": []}, id="mlp with a list of no channels"),
        pytest.param({**MLP, "heads": 0}, id="mlp with no heads"),
        pytest.param({**CNN, "blocks": [1, 1]}, id="cnn with blocks"),
        pytest.param({**RESNET, "hidden": [64]}, id="resnet with a hidden layer"),
        pytest.param({**RESNET, "blocks": [1]}, id="a stage without blocks"),
        pytest.param({**RESNET, "blocks": [1, 0]}, id="a stage of no blocks"),
        pytest.param({**RESNET, "blocks": [40, 25]}, id="too many blocks"),
        pytest.param({**RESNET, "blocks": [2**20, 2**20]}, id="a million blocks"),
        pytest.param({**RESNET, "channels": [], "blocks": []}, id="resnet without stages"),
        pytest.param({**RESNET, "channels": [8] * 17, "blocks": [1] * 17}, id="too many stages"),
        pytest.param({**RESNET, "channels": [2**14] * 2}, id="resnet with too many parameters"),
        pytest.param({**RESNET, "input_shape": [9, 8]}, id="resnet with two dimensions"),
        pytest.param({**RESNET, "input_shape": [1, 2**20, 2**20]}, id="resnet of a terabyte an image"),
        pytest.param({**TRANSFORMER, "heads": 3}, id="heads that don't divide"),
        pytest.param({**TRANSFORMER, "heads": 16}, id="more heads than width"),
        pytest.param({**TRANSFORMER, "heads": 0}, id="no heads"),
        pytest.param({**TRANSFORMER, "heads": True}, id="heads a bool"),
        pytest.param({**TRANSFORMER, "width": 0}, id="width of nothing"),
        pytest.param({**TRANSFORMER, "width": [8]}, id="width a list"),
        pytest.param({**TRANSFORMER, "width": 1 << 20_000}, id="width too long to print"),
        pytest.param({**TRANSFORMER, "layers": 65}, id="too many blocks of attention"),
        pytest.param({**TRANSFORMER, "width": 2**20, "heads": 2**20}, id="transformer with too many parameters"),
        pytest.param({**TRANSFORMER, "input_shape": [64]}, id="transformer without rows"),
        pytest.param({**TRANSFORMER, "input_shape": [2**20, 1]}, id="attention between a million tokens"),
        pytest.param({k: v for k, v in TRANSFORMER.items() if k != "heads"}, id="heads missing"),
        pytest.param({**TRANSFORMER, "hidden": []}, id="transformer with hidden layers"),
        pytest.param({**UNET, "channels": [4]}, id="unet without levels"),
        pytest.param({**UNET, "input_shape": [1, 8, 14]}, id="unet whose width the poolings don't divide"),
        pytest.param({**UNET, "input_shape": [1, 2**19, 2**19]}, id="unet of a terabyte an image"),
        pytest.param({**UNET, "classes": 2**20}, id="a million classes for every pixel"),
        pytest.param({**UNET, "hidden": [8]}, id="unet with a hidden layer"),
        pytest.param({**FCN, "channels": [2, 3, 4, 5]}, id="fcn of four stages"),
        pytest.param({**FCN, "hidden": [7]}, id="fcn without fc7"),
        pytest.param({**FCN, "input_shape": [1, 48, 64]}, id="fcn whose height the poolings don't divide"),
        pytest.param({**FCN, "blocks": [1] * 5}, id="fcn with blocks"),
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


def test_activations__each_family__where_most_is_in_memory() -> None:
    """Input, output and the output's ReLU, and what is kept for later: a block's input, a level's output."""
    found = {str(value["family"]): activations(architecture_from_json(value)) for value in EVERY}

    attention = 6 * 8 * 8 + 3 * 2 * 6 * 6
    assert found == {
        "mlp": 64 + 2 * 128,
        "cnn": (3 + 2 * 8) * 32 * 30,
        "resnet": (3 * 8 + 8) * 72,
        "transformer": max(attention, 6 * (8 + 8 + 2 * 32)),
        "unet": 8 * 32 + (2 * 4 + 2 * 4) * 128,
        "fcn": (1 + 2 * 2) * 2048,
    }


def test_architecture__deep_and_wide__is_refused_by_counting() -> None:
    """Sizes are multiplied, never allocated: the largest numbers that a form allows are counted like small ones."""
    deep = {**RESNET, "channels": [2**20] * 16, "blocks": [4] * 16}

    with pytest.raises(BadInput, match=r"expected at most 2147483648 parameters, found \d{16}"):
        architecture_from_json(deep)

"""Model families as names plus a config, never code: tensor names and shapes, parameters, FLOPs (P-80).

The torch modules of `dlbc.adapters.ml.families` must have exactly these state dicts; a unit test compares
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

from dlbc.core.errors import BadInput

MAX_PARAMETERS = 2**31
MAX_WIDTH = 2**20
MAX_LAYERS = 64
MAX_CLASSES = 2**20
MAX_ACTIVATIONS = 2**26
"""Values of one sample in its largest layer: a manifest of a kilobyte must not make a miner allocate terabytes."""
FAMILIES = ("mlp", "cnn")
CONVOLUTIONAL = ("cnn", "resnet", "unet", "fcn")
"""Families whose samples are images [channels, height, width]."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model of one of FAMILIES for inputs of shape `input_shape` (without the batch) and `classes` outputs.

    mlp: flatten, then Linear+ReLU for each width in `hidden`, then Linear to the classes.
    cnn: input_shape is (channels, height, width); for each entry of `channels` a 3x3 convolution (padding 1),
    ReLU and 2x2 max-pooling (floor); flatten; then as mlp.
    """

    family: str
    input_shape: tuple[int, ...]
    classes: int
    hidden: tuple[int, ...]
    channels: tuple[int, ...] = ()


def architecture_from_json(value: object) -> Architecture:
    """Parses and bounds an architecture. Raises BadInput."""
    if not isinstance(value, Mapping):
        raise BadInput(f"architecture: expected a table, found {type(value).__name__}")
    known = {"family", "input_shape", "classes", "hidden", "channels"}
    for key in value:
        if key not in known:
            raise BadInput(f"architecture.{_shown(key)}: unknown setting; known are {', '.join(sorted(known))}")
    family = value.get("family")
    if family not in FAMILIES:
        raise BadInput(f"architecture.family: expected one of {', '.join(FAMILIES)}, found {_shown(family)}")
    input_shape = _sizes("input_shape", value.get("input_shape"), least=1, most=4)
    classes = _size("classes", value.get("classes"), 2, MAX_CLASSES)
    hidden = _sizes("hidden", value.get("hidden", []), least=0, most=MAX_LAYERS)
    channels = _sizes("channels", value.get("channels", []), least=0, most=16)
    if family == "cnn":
        if len(input_shape) != 3:
            raise BadInput(
                f"architecture.input_shape: a cnn takes [channels, height, width], found {list(input_shape)}"
            )
        if not channels:
            raise BadInput("architecture.channels: a cnn needs at least one convolution, found none")
        if min(input_shape[1:]) >> len(channels) < 1:
            raise BadInput(
                f"architecture.channels: {len(channels)} poolings leave nothing of {input_shape[1]}x{input_shape[2]}; "
                "use fewer"
            )
    elif channels:
        raise BadInput("architecture.channels: only a cnn has channels; remove it")
    architecture = Architecture(str(family), input_shape, classes, hidden, channels)
    if parameters(architecture) > MAX_PARAMETERS:
        raise BadInput(f"architecture: expected at most {MAX_PARAMETERS} parameters, found {parameters(architecture)}")
    if activations(architecture) > MAX_ACTIVATIONS:
        raise BadInput(
            f"architecture: expected at most {MAX_ACTIVATIONS} values of a sample in one layer, "
            f"found {activations(architecture)}"
        )
    return architecture


def architecture_to_json(architecture: Architecture) -> dict[str, Any]:
    """The canonical JSON form; the inverse of architecture_from_json."""
    value: dict[str, Any] = {
        "family": architecture.family,
        "input_shape": list(architecture.input_shape),
        "classes": architecture.classes,
        "hidden": list(architecture.hidden),
    }
    if architecture.channels:
        value["channels"] = list(architecture.channels)
    return value


def tensor_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Every tensor of the state dict by name, in layer order; all are float32."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, (fan_in, out) in enumerate(_convolutions(architecture)):
        shapes[f"convs.{index}.weight"] = (out, fan_in, 3, 3)
        shapes[f"convs.{index}.bias"] = (out,)
    for index, (fan_in, out) in enumerate(_linears(architecture)):
        shapes[f"linears.{index}.weight"] = (out, fan_in)
        shapes[f"linears.{index}.bias"] = (out,)
    return shapes


def parameters(architecture: Architecture) -> int:
    """Number of trained values."""
    return sum(prod(shape) for shape in tensor_shapes(architecture).values())


def activations(architecture: Architecture) -> int:
    """Values that one sample has in memory at once, in its largest layer: input, output, and the output's ReLU."""
    largest = max(fan_in + 2 * out for fan_in, out in _linears(architecture))
    if architecture.family == "cnn":
        _, height, width = architecture.input_shape
        for fan_in, out in _convolutions(architecture):
            largest = max(largest, (fan_in + 2 * out) * height * width)
            height, width = height // 2, width // 2
    return largest


def flops_per_sample(architecture: Architecture) -> int:
    """Floating-point operations of one forward pass: two per multiply-add, biases and ReLUs not counted."""
    flops = 0
    if architecture.family == "cnn":
        _, height, width = architecture.input_shape
        for fan_in, out in _convolutions(architecture):
            flops += 2 * 9 * fan_in * out * height * width
            height, width = height // 2, width // 2
    return flops + sum(2 * fan_in * out for fan_in, out in _linears(architecture))


def _convolutions(architecture: Architecture) -> list[tuple[int, int]]:
    ins = (architecture.input_shape[0], *architecture.channels[:-1])
    return list(zip(ins, architecture.channels, strict=True)) if architecture.channels else []


def _linears(architecture: Architecture) -> list[tuple[int, int]]:
    if architecture.family == "cnn":
        _, height, width = architecture.input_shape
        poolings = len(architecture.channels)
        features = architecture.channels[-1] * (height >> poolings) * (width >> poolings)
    else:
        features = prod(architecture.input_shape)
    widths = (features, *architecture.hidden, architecture.classes)
    return list(pairwise(widths))


def _size(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadInput(f"architecture.{name}: expected a whole number from {least} to {most}, found {_shown(value)}")
    return value


def _sizes(name: str, value: object, *, least: int, most: int) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or not least <= len(value) <= most:
        found = f"{len(value)} entries" if isinstance(value, list | tuple) else _shown(value)
        raise BadInput(f"architecture.{name}: expected a list of {least} to {most} whole numbers, found {found}")
    return tuple(_size(name, item, 1, MAX_WIDTH) for item in value)


def _shown(value: object) -> str:
    """A value in a message: short, and safe for ints too long for Python to print."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    return repr(value)[:40] if isinstance(value, int | float | str) else f"a {type(value).__name__}"

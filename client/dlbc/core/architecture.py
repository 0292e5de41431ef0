"""Model families as names plus a config, never code: tensor names and shapes, parameters, FLOPs (P-80).

The torch modules of `dlbc.adapters.ml.families` must have exactly these state dicts; a unit test compares
them. What each family consists of is in `dlbc.core.layers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from dlbc.core.errors import BadInput
from dlbc.core.layers import FCN_STAGES, RUNNING, layers
from dlbc.core.layers import Architecture as Architecture

MAX_PARAMETERS = 2**31
MAX_WIDTH = 2**20
MAX_LAYERS = 64
MAX_CHANNELS = 16
MAX_CLASSES = 2**20
MAX_ACTIVATIONS = 2**26
"""Values of one sample in its largest layer: a manifest of a kilobyte must not make a miner allocate terabytes."""
CLASSIFIERS = ("mlp", "cnn", "resnet", "transformer")
"""Families that give a sample one class."""
SEGMENTERS = ("unet", "fcn")
"""Families that give every pixel a class."""
FAMILIES = CLASSIFIERS + SEGMENTERS
CONVOLUTIONAL = ("cnn", "resnet", "unet", "fcn")
"""Families whose samples are images [channels, height, width]."""

_COMMON = ("family", "input_shape", "classes")
_SETTINGS = {
    "mlp": ("hidden",),
    "cnn": ("hidden", "channels"),
    "resnet": ("channels", "blocks"),
    "transformer": ("width", "heads", "layers"),
    "unet": ("channels",),
    "fcn": ("hidden", "channels"),
}


def architecture_from_json(value: object) -> Architecture:
    """Parses and bounds an architecture. Raises BadInput."""
    if not isinstance(value, Mapping):
        raise BadInput(f"architecture: expected a table, found {type(value).__name__}")
    family = value.get("family")
    if family not in FAMILIES:
        raise BadInput(f"architecture.family: expected one of {', '.join(FAMILIES)}, found {_shown(family)}")
    _check_settings(value, str(family))
    architecture = Architecture(
        family=str(family),
        input_shape=_sizes("input_shape", value.get("input_shape"), least=1, most=4),
        classes=_size("classes", value.get("classes"), 2, MAX_CLASSES),
        hidden=_sizes("hidden", value.get("hidden", []), least=0, most=MAX_LAYERS),
        channels=_sizes("channels", value.get("channels", []), least=0, most=MAX_CHANNELS),
        blocks=_sizes("blocks", value.get("blocks", []), least=0, most=MAX_CHANNELS),
        width=_size("width", value["width"], 1, MAX_WIDTH) if "width" in value else 0,
        heads=_size("heads", value["heads"], 1, MAX_WIDTH) if "heads" in value else 0,
        layers=_size("layers", value["layers"], 1, MAX_LAYERS) if "layers" in value else 0,
    )
    _check_family(architecture)
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
    }
    for name in _SETTINGS[architecture.family]:
        setting = getattr(architecture, name)
        value[name] = list(setting) if isinstance(setting, tuple) else setting
    return value


def check_classifies(family: str, *, what: str) -> None:
    """Raises BadInput, starting with `what`, for a family whose predictions no metric can score yet."""
    if family in SEGMENTERS:
        raise BadInput(
            f"{what}: expected a family that gives a sample one class ({', '.join(CLASSIFIERS)}), found {family!r}, "
            "which gives every pixel one; tasks can't score that yet"
        )


def logits_shape(architecture: Architecture) -> tuple[int, ...]:
    """Of one sample: (classes,), or (classes, height, width) where every pixel has its own."""
    pixels = architecture.input_shape[1:] if architecture.family in SEGMENTERS else ()
    return (architecture.classes, *pixels)


def tensor_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Every tensor of the state dict by name, in its order; all are float32."""
    return {name: shape for layer in layers(architecture) for name, shape in layer.tensors}


def parameter_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The tensors that are trained: all but the running statistics of BatchNorm."""
    shapes = tensor_shapes(architecture)
    return {name: shape for name, shape in shapes.items() if name.rpartition(".")[2] not in RUNNING}


def parameters(architecture: Architecture) -> int:
    """Number of trained values."""
    return sum(prod(shape) for shape in parameter_shapes(architecture).values())


def stored_values(architecture: Architecture) -> int:
    """Number of values in a model file: the parameters and the running statistics."""
    return sum(prod(shape) for shape in tensor_shapes(architecture).values())


def activations(architecture: Architecture) -> int:
    """Values that one sample has in memory at once, where it has most of them.

    The layer's input, its output, what follows the output at once (its ReLU), and what a later layer still needs.
    """
    return max(layer.values + layer.kept for layer in layers(architecture))


def training_activations(architecture: Architecture) -> int:
    """Values of one sample in all layers, which a training step keeps for the gradients."""
    return sum(layer.values for layer in layers(architecture))


def flops_per_sample(architecture: Architecture) -> int:
    """Floating-point operations of one forward pass, two per multiply-add of matrices, convolutions and attention.

    Biases, ReLUs, normalisation and softmax are not counted.
    """
    return 2 * sum(layer.multiply_adds for layer in layers(architecture))


# ------------------------------------------------------------------ what a family needs


def _check_settings(value: Mapping[Any, Any], family: str) -> None:
    """Refuses settings that nobody knows, that this family has no use for, or that it lacks."""
    known = {*_COMMON, *(name for names in _SETTINGS.values() for name in names)}
    for key in value:
        if key not in known:
            raise BadInput(f"architecture.{_shown(key)}: unknown setting; known are {', '.join(sorted(known))}")
        if key not in _COMMON and key not in _SETTINGS[family]:
            raise BadInput(f"architecture.{key}: {_a(family)} has no {key}; remove it")
    for key in _SETTINGS[family]:
        if key not in value and key != "hidden":
            raise BadInput(f"architecture.{key}: this setting is missing; {_a(family)} needs it")


def _check_family(architecture: Architecture) -> None:
    family, shape, channels = architecture.family, architecture.input_shape, architecture.channels
    if family == "transformer":
        if len(shape) < 2:
            raise BadInput(f"architecture.input_shape: a transformer takes [..., rows, columns], found {list(shape)}")
        if architecture.width % architecture.heads:
            raise BadInput(
                f"architecture.heads: expected a divisor of the width {architecture.width}, found {architecture.heads}"
            )
    if family not in CONVOLUTIONAL:
        return
    if len(shape) != 3:
        raise BadInput(f"architecture.input_shape: {_a(family)} takes [channels, height, width], found {list(shape)}")
    if not channels:
        raise BadInput(f"architecture.channels: {_a(family)} needs at least one convolution, found none")
    if family == "cnn" and min(shape[1:]) >> len(channels) < 1:
        raise BadInput(
            f"architecture.channels: {len(channels)} poolings leave nothing of {shape[1]}x{shape[2]}; use fewer"
        )
    if family == "resnet":
        _check_resnet(architecture)
    if family in SEGMENTERS:
        _check_segmenter(architecture)


def _check_resnet(architecture: Architecture) -> None:
    stages, blocks = len(architecture.channels), architecture.blocks
    if len(blocks) != stages:
        raise BadInput(f"architecture.blocks: expected one number for each of {stages} channels, found {len(blocks)}")
    if sum(blocks) > MAX_LAYERS:
        raise BadInput(f"architecture.blocks: expected at most {MAX_LAYERS} blocks in all, found {sum(blocks)}")


def _check_segmenter(architecture: Architecture) -> None:
    family, channels, hidden = architecture.family, architecture.channels, architecture.hidden
    _, height, width = architecture.input_shape
    if family == "unet" and len(channels) < 2:
        raise BadInput("architecture.channels: a unet needs at least two levels, found 1")
    if family == "fcn" and (len(channels), len(hidden)) != (FCN_STAGES, 2):
        raise BadInput(
            f"architecture: an fcn has {FCN_STAGES} channels and 2 hidden widths (fc6 and fc7), "
            f"found {len(channels)} and {len(hidden)}"
        )
    poolings = len(channels) - 1 if family == "unet" else FCN_STAGES
    if height % 2**poolings or width % 2**poolings:
        raise BadInput(
            f"architecture.input_shape: {poolings} poolings need height and width that {2**poolings} divides, "
            f"found {height}x{width}"
        )


def _a(family: str) -> str:
    return f"{'an' if family in ('mlp', 'fcn') else 'a'} {family}"


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

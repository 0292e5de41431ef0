"""What a model leaves open: which units of which layers may be exchanged, scaled or turned without changing it.

A *group* is a set of units that one layer produces and others read: the hidden units of an mlp, the channels of a
convolution, a residual stream. Whoever exchanges two units in every layer that knows them, or scales a unit and
unscales it where it is read, has another file and the same model. `alignment` undoes that; this module says where to
look, for each family, by the names of `architecture.tensor_shapes`. Nothing here depends on the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dlbc.core.architecture import Architecture, tensor_shapes
from dlbc.core.errors import BadInput


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive entries of an axis: `units` units of a group with `block` entries each; group None = in place."""

    group: str | None
    units: int
    block: int = 1

    @property
    def size(self) -> int:
        return self.units * self.block


@dataclass(frozen=True, slots=True)
class Layer:
    """A weight and what goes with it. The axes of `weight` are (out, in, …), or (in, out, …) if `is_transposed`."""

    weight: str
    out: Segment
    ins: tuple[Segment, ...]
    bias: str | None = None
    norm: str | None = None
    """Prefix of the batch normalisation that follows, which makes the scale of a unit, and its sign, free."""
    is_transposed: bool = False

    @property
    def out_axis(self) -> int:
        return 1 if self.is_transposed else 0

    @property
    def in_axis(self) -> int:
        return 0 if self.is_transposed else 1


@dataclass(frozen=True, slots=True)
class Symmetry:
    """All layers in the order of the data, and what is not told by units."""

    layers: tuple[Layer, ...]
    stream: str | None = None
    """The group that may be turned by any rotation (a transformer's residual stream), beside being exchanged."""

    @property
    def groups(self) -> tuple[str, ...]:
        """In the order in which they are first produced; a rotated stream is none of them."""
        names = (layer.out.group for layer in self.layers)
        return tuple(dict.fromkeys(name for name in names if name is not None and name != self.stream))


def symmetry_of(architecture: Architecture) -> Symmetry:
    """Raises BadInput for a family whose symmetries are not known."""
    describe = _FAMILIES.get(architecture.family)
    if describe is None:
        raise BadInput(
            f"alignment: expected one of the families {', '.join(_FAMILIES)}, found {architecture.family[:40]!r}"
        )
    return describe(architecture)


def _linears(architecture: Architecture, features: Segment) -> list[Layer]:
    layers, ins = [], features
    for index, width in enumerate((*architecture.hidden, architecture.classes)):
        is_last = index == len(architecture.hidden)
        out = Segment(None if is_last else f"linears.{index}", width)
        layers.append(Layer(f"linears.{index}.weight", out, (ins,), f"linears.{index}.bias"))
        ins = out
    return layers


def _mlp(architecture: Architecture) -> Symmetry:
    features = tensor_shapes(architecture)["linears.0.weight"][1]
    return Symmetry(tuple(_linears(architecture, Segment(None, features))))


def _cnn(architecture: Architecture) -> Symmetry:
    layers, ins = [], Segment(None, architecture.input_shape[0])
    for index, width in enumerate(architecture.channels):
        out = Segment(f"convs.{index}", width)
        layers.append(Layer(f"convs.{index}.weight", out, (ins,), f"convs.{index}.bias"))
        ins = out
    features = tensor_shapes(architecture)["linears.0.weight"][1]
    flattened = Segment(ins.group, ins.units, features // ins.units)
    return Symmetry((*layers, *_linears(architecture, flattened)))


def _resnet(architecture: Architecture) -> Symmetry:
    shapes = tensor_shapes(architecture)
    stream = Segment("streams.0", architecture.channels[0])
    layers = [Layer("stem.weight", stream, (Segment(None, architecture.input_shape[0]),), norm="stem_norm")]
    for stage, (width, blocks) in enumerate(zip(architecture.channels, architecture.blocks, strict=True)):
        for block in range(blocks):
            prefix, before = f"stages.{stage}.{block}", stream
            inner = Segment(prefix, width)
            layers.append(Layer(f"{prefix}.conv1.weight", inner, (before,), norm=f"{prefix}.norm1"))
            if f"{prefix}.shortcut.weight" in shapes:
                stream = Segment(f"streams.{stage}", width)
                layers.append(Layer(f"{prefix}.shortcut.weight", stream, (before,), norm=f"{prefix}.shortcut_norm"))
            layers.append(Layer(f"{prefix}.conv2.weight", stream, (inner,), norm=f"{prefix}.norm2"))
    layers.append(Layer("head.weight", Segment(None, architecture.classes), (stream,), "head.bias"))
    return Symmetry(tuple(layers))


def _unet(architecture: Architecture) -> Symmetry:
    *levels, bottom = architecture.channels
    layers: list[Layer] = []

    def convolve(name: str, width: int, ins: tuple[Segment, ...]) -> Segment:
        for part in ("conv1", "conv2"):
            out = Segment(f"{name}.{part}", width)
            layers.append(Layer(f"{name}.{part}.weight", out, ins, f"{name}.{part}.bias"))
            ins = (out,)
        return ins[0]

    skips, now = [], Segment(None, architecture.input_shape[0])
    for level, width in enumerate(levels):
        now = convolve(f"down.{level}", width, (now,))
        skips.append(now)
    now = convolve("bottom", bottom, (now,))
    for level in reversed(range(len(levels))):
        name = f"up.{level}"
        raised = Segment(f"{name}.transpose", levels[level])
        layers.append(Layer(f"{name}.transpose.weight", raised, (now,), f"{name}.transpose.bias", is_transposed=True))
        now = convolve(name, levels[level], (skips[level], raised))
    layers.append(Layer("head.weight", Segment(None, architecture.classes), (now,), "head.bias"))
    return Symmetry(tuple(layers))


def _fcn(architecture: Architecture) -> Symmetry:
    layers, stages, ins = [], [], Segment(None, architecture.input_shape[0])
    named = [f"convs.{index}" for index in range(len(architecture.channels))] + ["fc6", "fc7"]
    for name, width in zip(named, (*architecture.channels, *architecture.hidden), strict=True):
        out = Segment(name, width)
        layers.append(Layer(f"{name}.weight", out, (ins,), f"{name}.bias"))
        stages.append(out)
        ins = out
    classes = Segment(None, architecture.classes)
    for name, read in (("score", ins), ("score4", stages[3]), ("score3", stages[2])):
        layers.append(Layer(f"{name}.weight", classes, (read,), f"{name}.bias"))
    return Symmetry(tuple(layers))


def _transformer(architecture: Architecture) -> Symmetry:
    stream = Segment("stream", architecture.width)
    layers = []
    for block in range(architecture.layers):
        prefix = f"blocks.{block}"
        inner = Segment(prefix, 4 * architecture.width)
        layers.append(Layer(f"{prefix}.up.weight", inner, (stream,), f"{prefix}.up.bias"))
        layers.append(Layer(f"{prefix}.down.weight", stream, (inner,), f"{prefix}.down.bias"))
    return Symmetry(tuple(layers), stream="stream")


_FAMILIES: dict[str, Callable[[Architecture], Symmetry]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "resnet": _resnet,
    "unet": _unet,
    "fcn": _fcn,
    "transformer": _transformer,
}

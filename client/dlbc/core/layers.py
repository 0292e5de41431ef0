"""What each model family is made of: tensors, multiply-adds and memory, layer by layer, without allocating anything.

Architectures come from strangers: everything here is integer arithmetic on their sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod

RUNNING = ("running_mean", "running_var")
"""Last parts of the names of a BatchNorm's statistics: stored with the weights, never trained."""
FCN_STAGES = 5
MLP_RATIO = 4
"""Width of a transformer block's hidden layer, in widths of its stream."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model of one family for inputs of shape `input_shape` (without the batch) and `classes` outputs.

    mlp: flatten, then Linear+ReLU for each width in `hidden`, then Linear to the classes.
    Convolutional families take [channels, height, width]; convolutions are 3x3 with padding 1 unless said otherwise.
    cnn: for each entry of `channels` a convolution, ReLU and 2x2 max-pooling (floor); flatten; then as mlp.
    resnet: a convolution, BatchNorm and ReLU, then stages of `channels` width and `blocks` basic blocks; a stage after
    the first begins by halving (stride 2, 1x1 shortcut); mean over the pixels, Linear to the classes.
    transformer: each of the T rows of an input [..., T, F] is a token, its features from all channels; `layers`
    pre-norm blocks of `width` with `heads` heads of attention; mean over the tokens, Linear to the classes.
    unet: two convolutions with ReLU on each level of `channels`, the last being the bottom, 2x2 max-pooling between
    them, and back up by 2x2 transposed convolutions that meet each level's own output; 1x1 to the classes of a pixel.
    fcn: FCN-8s with one convolution, ReLU and pooling for each of its five `channels`; `hidden` are fc6 and fc7.
    """

    family: str
    input_shape: tuple[int, ...]
    classes: int
    hidden: tuple[int, ...]
    channels: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    width: int = 0
    heads: int = 0
    layers: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """One step of the forward pass of one sample."""

    tensors: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Names and shapes, in the order of the state dict."""
    multiply_adds: int = 0
    values: int = 0
    """Numbers it works on: input, output, and what follows the output at once (normalisation or ReLU)."""
    kept: int = 0
    """Numbers beside them that a later layer still needs."""


def layers(architecture: Architecture) -> Iterator[Layer]:
    """Every layer of an architecture that `architecture_from_json` accepts, in the order of the state dict."""
    return {
        "mlp": _mlp,
        "cnn": _cnn,
        "resnet": _resnet,
        "transformer": _transformer,
        "unet": _unet,
        "fcn": _fcn,
    }[architecture.family](architecture)


def tokens(input_shape: tuple[int, ...]) -> tuple[int, int]:
    """(tokens, features of one) that a transformer reads in [..., rows, columns]: the rows, their channels joined."""
    return input_shape[-2], prod(input_shape) // input_shape[-2]


def _mlp(architecture: Architecture) -> Iterator[Layer]:
    return _head(prod(architecture.input_shape), architecture)


def _cnn(architecture: Architecture) -> Iterator[Layer]:
    ins, height, width = architecture.input_shape
    for index, out in enumerate(architecture.channels):
        yield _convolution(f"convs.{index}", ins, out, height * width)
        ins, height, width = out, height // 2, width // 2
    yield from _head(ins * height * width, architecture)


def _head(features: int, architecture: Architecture) -> Iterator[Layer]:
    for index, (ins, out) in enumerate(pairwise((features, *architecture.hidden, architecture.classes))):
        yield _linear(f"linears.{index}", ins, out)


def _resnet(architecture: Architecture) -> Iterator[Layer]:
    ins, height, width = architecture.input_shape
    area, out = height * width, architecture.channels[0]
    yield _convolution("stem", ins, out, area, has_bias=False)
    yield _norm("stem_norm", out, has_statistics=True)
    ins = out
    for stage, (out, blocks) in enumerate(zip(architecture.channels, architecture.blocks, strict=True)):
        for block in range(blocks):
            name, is_halving, before = f"stages.{stage}.{block}", stage > 0 and block == 0, area
            if is_halving:
                height, width = (height + 1) // 2, (width + 1) // 2
                area = height * width
            yield _convolution(f"{name}.conv1", ins, out, area, before, has_bias=False)
            yield _norm(f"{name}.norm1", out, has_statistics=True)
            yield _convolution(f"{name}.conv2", out, out, area, has_bias=False, kept=ins * before)
            yield _norm(f"{name}.norm2", out, has_statistics=True)
            if is_halving:
                beside = out * area
                yield _convolution(f"{name}.shortcut", ins, out, area, before, kernel=1, has_bias=False, kept=beside)
                yield _norm(f"{name}.shortcut_norm", out, has_statistics=True)
            ins = out
    yield _linear("head", ins, architecture.classes)


def _transformer(architecture: Architecture) -> Iterator[Layer]:
    width, heads = architecture.width, architecture.heads
    count, features = tokens(architecture.input_shape)
    stream = count * width
    yield Layer((("position", (count, width)),))
    yield _linear("embedding", features, width, count)
    for index in range(architecture.layers):
        name = f"blocks.{index}"
        yield _norm(f"{name}.norm1", width)
        for part in ("query", "key", "value"):
            yield _linear(f"{name}.attention.{part}", width, width, count, kept=3 * stream)
        # Every pair of tokens twice: scores from queries and keys, then sums of values. In memory at once: both of
        # them scaled and not, values, the output; the scores and two copies that the softmax makes.
        yield Layer(multiply_adds=2 * count * stream, values=6 * stream + 3 * heads * count * count, kept=2 * stream)
        yield _linear(f"{name}.attention.out", width, width, count, kept=5 * stream)
        yield _norm(f"{name}.norm2", width)
        yield _linear(f"{name}.up", width, MLP_RATIO * width, count, kept=stream)
        yield _linear(f"{name}.down", MLP_RATIO * width, width, count, kept=stream)
    yield _norm("norm", width)
    yield _linear("head", width, architecture.classes, kept=stream)


def _unet(architecture: Architecture) -> Iterator[Layer]:
    ins, height, width = architecture.input_shape
    *levels, bottom = architecture.channels
    areas = [(height >> level) * (width >> level) for level in range(len(levels) + 1)]
    skips = [0]
    for level, out in enumerate(levels):
        yield from _double(f"down.{level}", ins, out, areas[level], skips[level])
        ins = out
        skips.append(skips[level] + out * areas[level])
    yield from _double("bottom", ins, bottom, areas[-1], skips[-1])
    for level, (out, below) in enumerate(pairwise(architecture.channels)):
        area = areas[level]
        joined = skips[level] + 2 * out * area
        yield _transposed(f"up.{level}.transpose", below, out, areas[level + 1], area, kernel=2, kept=joined)
        yield from _double(f"up.{level}", 2 * out, out, area, skips[level])
    yield _convolution("head", levels[0], architecture.classes, areas[0], kernel=1, copies=1)


def _double(name: str, ins: int, out: int, area: int, kept: int) -> Iterator[Layer]:
    yield _convolution(f"{name}.conv1", ins, out, area, kept=kept)
    yield _convolution(f"{name}.conv2", out, out, area, kept=kept)


def _fcn(architecture: Architecture) -> Iterator[Layer]:
    ins, height, width = architecture.input_shape
    areas = [(height >> stage) * (width >> stage) for stage in range(FCN_STAGES + 1)]
    *_, third, fourth, fifth = architecture.channels
    for index, out in enumerate(architecture.channels):
        yield _convolution(f"convs.{index}", ins, out, areas[index], kept=third * areas[3] if index == 4 else 0)
        ins = out
    wide, deep = architecture.hidden
    classes, skip3, skip4 = architecture.classes, third * areas[3], fourth * areas[4]
    yield _convolution("fc6", fifth, wide, areas[5], kept=skip3 + skip4)
    yield _convolution("fc7", wide, deep, areas[5], kernel=1, kept=skip3 + skip4)
    yield _convolution("score", deep, classes, areas[5], kernel=1, kept=skip3 + skip4)
    yield _convolution("score4", fourth, classes, areas[4], kernel=1, kept=skip3 + classes * areas[4])
    yield _convolution("score3", third, classes, areas[3], kernel=1, kept=classes * areas[3])
    yield _transposed("up2", classes, classes, areas[5], areas[4], kernel=4, has_bias=False, kept=skip3 + skip4)
    yield _transposed("up4", classes, classes, areas[4], areas[3], kernel=4, has_bias=False, kept=skip3)
    yield _transposed("up8", classes, classes, areas[3], areas[0], kernel=16, has_bias=False, copies=1)


# ------------------------------------------------------------------ one layer


def _linear(name: str, ins: int, out: int, count: int = 1, *, kept: int = 0) -> Layer:
    """The same matrix for each of `count` tokens."""
    tensors = ((f"{name}.weight", (out, ins)), (f"{name}.bias", (out,)))
    return Layer(tensors, ins * out * count, (ins + 2 * out) * count, kept)


def _convolution(
    name: str,
    ins: int,
    out: int,
    area: int,
    before: int = 0,
    *,
    kernel: int = 3,
    has_bias: bool = True,
    kept: int = 0,
    copies: int = 2,
) -> Layer:
    """`area` output pixels from as many, or from `before`; `copies` of the output: itself, and its norm or ReLU."""
    weight = (f"{name}.weight", (out, ins, kernel, kernel))
    tensors = (weight, (f"{name}.bias", (out,))) if has_bias else (weight,)
    return Layer(tensors, kernel * kernel * ins * out * area, ins * (before or area) + copies * out * area, kept)


def _transposed(
    name: str,
    ins: int,
    out: int,
    before: int,
    area: int,
    *,
    kernel: int,
    has_bias: bool = True,
    kept: int = 0,
    copies: int = 2,
) -> Layer:
    """As `_convolution`, but each of `before` input pixels meets the whole kernel, the padding included."""
    weight = (f"{name}.weight", (ins, out, kernel, kernel))
    tensors = (weight, (f"{name}.bias", (out,))) if has_bias else (weight,)
    return Layer(tensors, kernel * kernel * ins * out * before, ins * before + copies * out * area, kept)


def _norm(name: str, width: int, *, has_statistics: bool = False) -> Layer:
    """Two operations a value and a copy of it, counted with the layer before."""
    parts = ("weight", "bias", *(RUNNING if has_statistics else ()))
    return Layer(tuple((f"{name}.{part}", (width,)) for part in parts))

"""What a thief can do to a net for nothing: other weights, the same function. Written apart from the verifier's code.

mlp and cnn: hidden units in another order, each scaled by any positive factor. resnet: the same within blocks and along
the stream of a stage, with batch norm's signs. transformer: MLP units in another order, the stream rotated and shifted
in ways that layer norm does not see, signed scales between layer norm and its readers, and any invertible matrix inside
each head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from dlbc.core.architecture import Architecture
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]
LARGEST_FACTOR = 4.0
NORM_EPSILON = 1e-5
"""torch's default in batch norm."""


def disguised(weights: Mapping[str, Any], architecture: Architecture, random: np.random.Generator) -> Weights:
    """A copy that computes the same function (to rounding) and looks unrelated, unit by unit."""
    found: Weights = {name: np.array(tensor, np.float64) for name, tensor in weights.items()}
    _FAMILIES[architecture.family](found, architecture, random)
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in found.items()}


def _plain(weights: Weights, architecture: Architecture, random: np.random.Generator) -> None:
    """mlp and cnn."""
    layers = [f"convs.{i}" for i in range(len(architecture.channels))]
    layers += [f"linears.{i}" for i in range(len(architecture.hidden) + 1)]
    for layer, following in pairwise(layers):
        units = len(weights[f"{layer}.bias"])
        order, factor = random.permutation(units), _factors(units, random)
        _move(weights, [f"{layer}.weight", f"{layer}.bias"], 0, order, factor)
        _move(weights, [f"{following}.weight"], 1, order, 1 / factor)


def _resnet(weights: Weights, architecture: Architecture, random: np.random.Generator) -> None:
    blocks = sorted(
        {".".join(name.split(".")[:3]) for name in weights if name.startswith("stages.")},
        key=lambda block: [int(part) for part in block.split(".")[1:]],
    )
    writers, readers = [("stem.weight", "stem_norm")], []
    for block in blocks:
        inner = len(weights[f"{block}.conv1.weight"])
        order, factor = random.permutation(inner), _factors(inner, random)
        _move(weights, [f"{block}.conv1.weight"], 0, order)
        _norm(weights, f"{block}.norm1", order, factor)
        _move(weights, [f"{block}.conv2.weight"], 1, order, 1 / factor)
        readers.append(f"{block}.conv1.weight")
        if f"{block}.shortcut.weight" in weights:
            _stream(weights, writers, [*readers, f"{block}.shortcut.weight"], random)
            writers, readers = [(f"{block}.shortcut.weight", f"{block}.shortcut_norm")], []
        writers.append((f"{block}.conv2.weight", f"{block}.norm2"))
    _stream(weights, writers, [*readers, "head.weight"], random)
    for weight, norm in _normed(weights):
        _scale_before_norm(weights, weight, norm, random)


def _stream(
    weights: Weights, writers: Sequence[tuple[str, str]], readers: Sequence[str], random: np.random.Generator
) -> None:
    """One residual stream: its channels are written behind batch norms and read after a ReLU."""
    channels = len(weights[writers[0][0]])
    order, factor = random.permutation(channels), _factors(channels, random)
    for weight, norm in writers:
        _move(weights, [weight], 0, order)
        _norm(weights, norm, order, factor)
    _move(weights, readers, 1, order, 1 / factor)


def _norm(weights: Weights, norm: str, order: NDArray[np.int64], factor: NDArray[np.float64]) -> None:
    """Batch norm of units in another order whose output is scaled."""
    _move(weights, [f"{norm}.weight", f"{norm}.bias"], 0, order, factor)
    _move(weights, [f"{norm}.running_mean", f"{norm}.running_var"], 0, order)


def _normed(weights: Weights) -> list[tuple[str, str]]:
    """(convolution, the batch norm behind it) of a resnet."""
    pairs = {"stem": "stem_norm", "conv1": "norm1", "conv2": "norm2", "shortcut": "shortcut_norm"}
    found = []
    for name in weights:
        prefix, _, layer = name.removesuffix(".weight").rpartition(".")
        if name.endswith(".weight") and layer in pairs:
            found.append((name, f"{prefix}.{pairs[layer]}".lstrip(".")))
    return found


def _scale_before_norm(weights: Weights, weight: str, norm: str, random: np.random.Generator) -> None:
    """Scales and flips a convolution's rows; batch norm's statistics and the sign of its gain take it back exactly."""
    units = len(weights[weight])
    factor, sign = _factors(units, random), random.choice([-1.0, 1.0], units)
    everything = np.arange(units)
    variance = weights[f"{norm}.running_var"]
    factor = np.maximum(factor, np.sqrt(NORM_EPSILON / (variance + NORM_EPSILON)))
    weights[f"{norm}.running_var"] = factor**2 * (variance + NORM_EPSILON) - NORM_EPSILON
    _move(weights, [weight, f"{norm}.running_mean"], 0, everything, factor * sign)
    _move(weights, [f"{norm}.weight"], 0, everything, sign)


def _transformer(weights: Weights, architecture: Architecture, random: np.random.Generator) -> None:
    blocks = [f"blocks.{index}" for index in range(architecture.layers)]
    for block in blocks:
        order = random.permutation(len(weights[f"{block}.up.weight"]))
        _move(weights, [f"{block}.up.weight", f"{block}.up.bias"], 0, order)
        _move(weights, [f"{block}.down.weight"], 1, order)
        _mix_heads(weights, f"{block}.attention", architecture.heads, random)
    turn = _turn(architecture.width, random)
    norms = {"norm": ["head"]}
    writers = ["embedding"]
    for block in blocks:
        norms[f"{block}.norm1"] = [f"{block}.attention.{part}" for part in ("query", "key", "value")]
        norms[f"{block}.norm2"] = [f"{block}.up"]
        writers += [f"{block}.attention.out", f"{block}.down"]
    for norm, readers in norms.items():
        _fold_norm(weights, norm, readers)
        for reader in readers:
            weights[f"{reader}.weight"] = weights[f"{reader}.weight"] @ turn.T
    for writer in writers:
        weight = turn @ weights[f"{writer}.weight"]
        weights[f"{writer}.weight"] = weight + weight.std() * random.standard_normal(weight.shape[1])
        weights[f"{writer}.bias"] = turn @ weights[f"{writer}.bias"]
    weights["position"] = weights["position"] @ turn.T
    for norm, readers in norms.items():
        _scale_after_norm(weights, norm, [f"{reader}.weight" for reader in readers], random)


def _turn(width: int, random: np.random.Generator) -> NDArray[np.float64]:
    """A random rotation that leaves the vector of ones where it is, so that layer norm's mean stays the mean."""
    start = np.column_stack([np.ones(width), random.standard_normal((width, width - 1))])
    basis, _ = np.linalg.qr(start)
    inner, _ = np.linalg.qr(random.standard_normal((width - 1, width - 1)))
    rotation = np.eye(width)
    rotation[1:, 1:] = inner
    return np.asarray(basis @ rotation @ basis.T)


def _fold_norm(weights: Weights, norm: str, readers: Sequence[str]) -> None:
    """Layer norm's gain and bias moved into all that reads it."""
    gain, bias = weights[f"{norm}.weight"], weights[f"{norm}.bias"]
    for reader in readers:
        weights[f"{reader}.bias"] = weights[f"{reader}.bias"] + weights[f"{reader}.weight"] @ bias
        weights[f"{reader}.weight"] = weights[f"{reader}.weight"] * gain
    weights[f"{norm}.weight"], weights[f"{norm}.bias"] = np.ones_like(gain), np.zeros_like(bias)


def _scale_after_norm(weights: Weights, norm: str, readers: Sequence[str], random: np.random.Generator) -> None:
    """Layer norm's gain and bias scaled and flipped, undone in the columns of all that reads them."""
    width = len(weights[f"{norm}.weight"])
    factor = _factors(width, random) * random.choice([-1.0, 1.0], width)
    _move(weights, [f"{norm}.weight", f"{norm}.bias"], 0, np.arange(width), factor)
    _move(weights, readers, 1, np.arange(width), 1 / factor)


def _mix_heads(weights: Weights, attention: str, heads: int, random: np.random.Generator) -> None:
    """Within a head, A·query and A^-T·key give the same scores, and B·value under out·B^-1 the same sum."""
    width = len(weights[f"{attention}.query.weight"])
    size = width // heads
    for start in range(0, width, size):
        part = slice(start, start + size)
        for first, second, is_out in (("query", "key", False), ("value", "out", True)):
            matrix = _well_conditioned(size, random)
            inverse = np.linalg.inv(matrix)
            for kind in ("weight", "bias"):
                name = f"{attention}.{first}.{kind}"
                weights[name][part] = matrix @ weights[name][part]
                if not is_out:
                    name = f"{attention}.{second}.{kind}"
                    weights[name][part] = inverse.T @ weights[name][part]
            if is_out:
                name = f"{attention}.{second}.weight"
                weights[name][:, part] = weights[name][:, part] @ inverse


def _well_conditioned(size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """A random rotation whose rows are scaled by 1/2 to 2."""
    rotation, _ = np.linalg.qr(random.standard_normal((size, size)))
    return np.asarray(rotation * 2 ** random.uniform(-1, 1, (size, 1)))


def _factors(units: int, random: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(LARGEST_FACTOR ** random.uniform(-1, 1, units))


def _move(
    weights: Weights,
    names: Sequence[str],
    axis: int,
    order: NDArray[np.int64],
    factor: NDArray[np.float64] | None = None,
) -> None:
    """Units along an axis in another order and scaled: unit i becomes order[i], times factor[i].

    An axis that is a whole multiple as long (a flattened image behind channels) moves in equal blocks.
    """
    for name in names:
        tensor = weights[name]
        block = tensor.shape[axis] // len(order)
        index = (order[:, None] * block + np.arange(block)).ravel()
        moved = np.take(tensor, index, axis=axis)
        if factor is not None:
            shape = [1] * tensor.ndim
            shape[axis] = -1
            moved = moved * np.repeat(factor, block).reshape(shape)
        weights[name] = moved


_FAMILIES: dict[str, Callable[[Weights, Architecture, np.random.Generator], None]] = {
    "mlp": _plain,
    "cnn": _plain,
    "resnet": _resnet,
    "transformer": _transformer,
}

"""A thief's best free disguise: another file that computes the same, by every symmetry that a family has."""

from __future__ import annotations

from typing import Any

import numpy as np
from dlbc.core.architecture import Architecture
from dlbc.core.symmetry import Segment, symmetry_of
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]


def disguised(weights: Weights, architecture: Architecture, seed: int, spread: float = 1.0) -> Weights:
    """Units exchanged, scaled by exp(spread · normal), signs hidden in the normalisations, the stream rotated."""
    random = np.random.default_rng(seed)
    out = {name: np.array(tensor, np.float64) for name, tensor in weights.items()}
    if architecture.family == "transformer":
        _turn_the_stream(out, architecture, random)
        spread = 0.0  # a GELU does not commute with scales
    symmetry = symmetry_of(architecture)
    units = {layer.out.group: layer.out.units for layer in symmetry.layers if layer.out.group != symmetry.stream}
    orders = {group: random.permutation(count) for group, count in units.items() if group is not None}
    scales = {group: np.exp(spread * random.standard_normal(len(order))) for group, order in orders.items()}
    for layer in symmetry.layers:
        tensor = np.moveaxis(out[layer.weight], (layer.out_axis, layer.in_axis), (0, 1))
        order, scale = _of(layer.out, orders), _of(layer.out, scales, one=True)
        tensor = tensor[order]
        if layer.norm is None:
            tensor = tensor * _column(scale, tensor.ndim)
        else:
            free = random.choice([-1.0, 1.0], len(order)) * np.exp(spread * random.standard_normal(len(order)) / 4)
            tensor = tensor * _column(free, tensor.ndim)
            _normalised(out, layer.norm, order, scale, free)
        if layer.bias is not None:
            out[layer.bias] = out[layer.bias][order] * scale
        entries, undo, start = [], [], 0
        for part in layer.ins:
            entries.append(start + (_of(part, orders)[:, None] * part.block + np.arange(part.block)).ravel())
            undo.append(np.repeat(1 / _of(part, scales, one=True), part.block))
            start += part.size
        tensor = tensor[:, np.concatenate(entries)] * np.concatenate(undo).reshape(1, -1, *[1] * (tensor.ndim - 2))
        out[layer.weight] = np.ascontiguousarray(np.moveaxis(tensor, (0, 1), (layer.out_axis, layer.in_axis)))
    return {name: tensor.astype(np.float32) for name, tensor in out.items()}


def _of(part: Segment, values: dict[str, Any], *, one: bool = False) -> Any:
    if part.group in values:
        return values[part.group]
    return np.ones(part.units) if one else np.arange(part.units)


def _column(values: NDArray[Any], dimensions: int) -> NDArray[Any]:
    return values.reshape(-1, *[1] * (dimensions - 1))


def _normalised(out: Weights, norm: str, order: Any, scale: Any, free: Any) -> None:
    """Batch normalisation of rows that were multiplied by `free`; what follows sees them times `scale`."""
    out[f"{norm}.running_mean"] = out[f"{norm}.running_mean"][order] * free
    out[f"{norm}.running_var"] = out[f"{norm}.running_var"][order] * free**2
    out[f"{norm}.weight"] = out[f"{norm}.weight"][order] * scale * np.sign(free)
    out[f"{norm}.bias"] = out[f"{norm}.bias"][order] * scale


def _turn_the_stream(out: Weights, architecture: Architecture, random: np.random.Generator) -> None:
    """A random rotation that keeps the vector of ones; scales of the normalisations moved; columns of down shifted."""
    width = architecture.width
    basis = np.linalg.qr(np.column_stack([np.ones(width), random.standard_normal((width, width - 1))]))[0]
    inner = np.linalg.qr(random.standard_normal((width - 1, width - 1)))[0]
    turn = basis[:, :1] @ basis[:, :1].T + basis[:, 1:] @ inner @ basis[:, 1:].T
    for block in range(architecture.layers):
        prefix = f"blocks.{block}"
        _read(
            out, f"{prefix}.norm1", [f"{prefix}.attention.{part}" for part in ("query", "key", "value")], turn, random
        )
        _read(out, f"{prefix}.norm2", [f"{prefix}.up"], turn, random)
        for name in (f"{prefix}.attention.out", f"{prefix}.down"):
            out[f"{name}.weight"] = turn @ out[f"{name}.weight"]
            out[f"{name}.bias"] = turn @ out[f"{name}.bias"]
        shift = random.standard_normal(4 * width) * out[f"{prefix}.down.weight"].std()
        out[f"{prefix}.down.weight"] = out[f"{prefix}.down.weight"] + shift
    _read(out, "norm", ["head"], turn, random)
    out["embedding.weight"] = turn @ out["embedding.weight"]
    out["embedding.bias"] = turn @ out["embedding.bias"]
    out["position"] = out["position"] @ turn.T


def _read(out: Weights, norm: str, readers: list[str], turn: Any, random: np.random.Generator) -> None:
    scale, shift = out[f"{norm}.weight"], out[f"{norm}.bias"]
    new = np.exp(random.standard_normal(len(scale)) / 2)
    for name in readers:
        weight = out[f"{name}.weight"]
        out[f"{name}.bias"] = out[f"{name}.bias"] + weight @ shift
        out[f"{name}.weight"] = (weight * scale) @ turn.T / new
    out[f"{norm}.weight"], out[f"{norm}.bias"] = new, np.zeros(len(scale))

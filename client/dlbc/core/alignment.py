"""Undoes what a thief may do to a copy without changing what it computes, so that a mark can be read again (P-92).

The suspect is brought into the frame of the registered original, group by group in the order of the data:

1. rows (what one unit reads) are brought to equal length, then columns (what is read from one unit) to the lengths
   that they have in the original, which undoes any rescaling of units; batch normalisation's signs are folded in;
2. units are assigned to those of the original by the cosines of their rows, all at once (linear assignment, Kuhn 1955),
   over **columns that carry nothing** only: matched on the carriers themselves, independent models would look alike;
3. in a transformer the residual stream is first turned back by the rotation that brings its activations closest to
   the original's (orthogonal Procrustes, Schönemann 1966).

The result is held to the same detector, at the stricter threshold `watermark.OWN`. The original's carriers never enter
the suspect's: only lengths, an order, signs of whole rows and one rotation are taken from it. Sums are of integers in
float64, exact in whatever order a machine adds them, so that everybody finds the same order of units; only the rotation
of a transformer depends on the last bits of a machine's arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.core import watermark
from dlbc.core.architecture import Architecture, tensor_shapes
from dlbc.core.errors import BadInput, VerificationFailed
from dlbc.core.stream import to_float32, turned_back
from dlbc.core.symmetry import Layer, Segment, Symmetry, symmetry_of
from dlbc.core.watermark import Weights

SWEEPS = 3
"""Times that rows and columns are brought to length in turn."""
MAX_PASSES = 3
"""Times that the groups are gone through: the first sees only what came before a group, the next ones everything."""
MAX_UNITS = 8192
"""Of a group that is aligned: the cosines of so many with so many take 0.5 GiB, several times."""
MAX_WEIGHTS = 2**27
"""Of a layer that is aligned: 1 GiB in float64, several times."""
_ROW_STEPS = 2**15
_GRID = 2**12
_GRID_MOST = 2**16
_FACTOR_MOST = 256.0

Rows = NDArray[np.float64]
Orders = dict[str, NDArray[np.intp]]


@dataclass(frozen=True, slots=True)
class Alignment:
    """A suspect in the frame of an original."""

    weights: dict[str, NDArray[np.float32]]
    """By name; what does not carry is left as it was."""
    cosine: float
    """Mean cosine of the rows over columns that carry nothing, -1..1: a reason to look closer, never a proof."""


def align(suspect: Weights, original: Weights, architecture: Architecture) -> Alignment:
    """Brings `suspect` as close to `original` as the symmetries of the architecture allow.

    Both: float32 arrays by name, finite, with exactly the shapes of the architecture (check_model has compared them).
    Raises VerificationFailed if the shapes differ, BadInput for a family whose symmetries are not known and for layers
    above MAX_UNITS and MAX_WEIGHTS: strangers choose architectures, and an auditor's memory is not theirs to fill.
    """
    shapes = tensor_shapes(architecture)
    for weights in (suspect, original):
        found = watermark.shapes_of(weights)
        if found != shapes:
            differing = sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name))
            raise VerificationFailed(
                f"alignment: expected the tensors of the {architecture.family}, found others: {differing[0][:60]}"
            )
    symmetry = symmetry_of(architecture)
    _check_size(symmetry, shapes)
    if symmetry.stream is not None:
        suspect = turned_back(suspect, original, architecture)
    layers = [_Pair(layer, suspect, original) for layer in symmetry.layers]
    orders = _orders(symmetry, layers)
    aligned = {name: np.asarray(tensor) for name, tensor in suspect.items()}
    cosines, sizes = [], []
    for pair in layers:
        if not watermark.carries(pair.layer.weight, shapes[pair.layer.weight]):
            continue
        tensor, cosine = pair.restored(orders)
        aligned[pair.layer.weight] = tensor
        cosines.append(cosine)
        sizes.append(tensor.size)
    return Alignment(aligned, float(np.average(cosines, weights=sizes)) if sizes else 0.0)


def _check_size(symmetry: Symmetry, shapes: dict[str, tuple[int, ...]]) -> None:
    for layer in symmetry.layers:
        units, size = layer.out.units if layer.out.group else 0, prod(shapes[layer.weight])
        if units > MAX_UNITS or size > MAX_WEIGHTS:
            raise BadInput(
                f"alignment: expected at most {MAX_UNITS} units and {MAX_WEIGHTS} weights in a layer, "
                f"found {units} and {size} in {layer.weight}"
            )


def _orders(symmetry: Symmetry, layers: list[_Pair]) -> Orders:
    """For every group: place p of the original is taken by unit order[p] of the suspect."""
    from scipy.optimize import linear_sum_assignment  # takes time and memory, and most audits align nothing

    orders: Orders = {}
    for turn in range(MAX_PASSES):
        before = dict(orders)
        for group in symmetry.groups:
            producers = [pair for pair in layers if pair.layer.out.group == group]
            known = [pair for pair in producers if pair.is_readable(orders, symmetry.stream)]
            likeness = sum(pair.likeness(orders) for pair in known)
            orders[group] = linear_sum_assignment(likeness, maximize=True)[1]
        has_more_to_see = any(sum(pair.layer.out.group == group for pair in layers) > 1 for group in symmetry.groups)
        if not has_more_to_see or (turn and all(np.array_equal(orders[name], before[name]) for name in orders)):
            break
    return orders


class _Pair:
    """One layer of the suspect and the original, as [out, in, rest]."""

    def __init__(self, layer: Layer, suspect: Weights, original: Weights) -> None:
        self.layer = layer
        self._shape = np.shape(original[layer.weight])
        self._signs = _signs(layer, original)
        self._original = self._canonical(original[layer.weight]) * self._signs[:, None, None]
        self._suspect = self._canonical(suspect[layer.weight]) * _signs(layer, suspect)[:, None, None]
        self._target = _unit_rows(self._original.reshape(len(self._original), -1))
        self._plain = self._columns_without_carriers()

    def is_readable(self, orders: Orders, stream: str | None) -> bool:
        """Whether the order of everything that the layer reads is known."""
        return all(part.group in (None, stream) or part.group in orders for part in self.layer.ins)

    def likeness(self, orders: Orders) -> NDArray[np.float64]:
        """[out, out] cosines of the original's rows with the suspect's, over what carries nothing."""
        rows = self._scaled(orders)
        return _cosines(self._target, rows, self._plain)

    def restored(self, orders: Orders) -> tuple[NDArray[np.float32], float]:
        """The suspect's weight in the original's order, lengths and signs; and the mean cosine of its rows."""
        rows = self._scaled(orders)[_order(self.layer.out, orders)]
        dots = (_grid(rows) * _grid(self._target) * self._plain).sum(axis=1)
        lengths = np.sqrt(_energies(rows, self._plain) * _energies(self._target, self._plain))
        cosine = float(np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0).mean())
        scale = _lengths(self._original.reshape(len(rows), -1), self._plain) / _positive(_lengths(rows, self._plain))
        rows = rows * (scale * self._signs)[:, None]
        restored = np.moveaxis(rows.reshape(self._original.shape), (0, 1), (self.layer.out_axis, self.layer.in_axis))
        return np.ascontiguousarray(to_float32(restored.reshape(self._shape))), cosine

    def _scaled(self, orders: Orders) -> Rows:
        """[out, in · rest]: the suspect's rows at length one, in its own order; columns as long as the original's."""
        index = np.concatenate(list(_indices(self.layer.ins, orders)))
        values = self._suspect[:, index]
        units = np.repeat(np.arange(sum(part.units for part in self.layer.ins)), _blocks(self.layer.ins))
        wanted = _column_energies(self._target, values.shape, units)
        rows = _unit_rows(values.reshape(len(values), -1))
        for _ in range(SWEEPS):
            found = _column_energies(rows, values.shape, units)
            factors = np.sqrt(wanted / _positive(found))
            factors = np.where((wanted > 0) & (found > 0), np.clip(factors, 1 / _FACTOR_MOST, _FACTOR_MOST), 1.0)
            spread = np.repeat(factors[units], values.shape[2])
            rows = _unit_rows(rows * spread)
        return rows

    def _columns_without_carriers(self) -> Rows:
        """1 where nothing is carried, else 0: one row for all units, or one each where they stand in the columns."""
        even = (np.arange(prod(self._shape[1:])) % 2 == 0).reshape(1, *self._shape[1:])
        if self.layer.is_transposed:
            even = np.broadcast_to(even, self._shape)
        canonical = self._canonical(even)
        return canonical.reshape(len(canonical), -1)

    def _canonical(self, tensor: NDArray[Any]) -> Rows:
        """[out, in, everything else]."""
        moved = np.moveaxis(tensor, (self.layer.out_axis, self.layer.in_axis), (0, 1))
        return np.asarray(moved.reshape(moved.shape[0], moved.shape[1], -1), np.float64)


def _signs(layer: Layer, weights: Weights) -> NDArray[np.float64]:
    """Those of the normalisation that follows; +1 without one, and for a dead unit."""
    units = np.shape(weights[layer.weight])[layer.out_axis]
    if layer.norm is None:
        return np.ones(units)
    return np.where(np.asarray(weights[f"{layer.norm}.weight"]) < 0, -1.0, 1.0)


def _indices(segments: tuple[Segment, ...], orders: Orders) -> Any:
    """Per segment: which entries of the suspect's axis stand where the original's do."""
    start = 0
    for part in segments:
        entries = _order(part, orders)[:, None] * part.block + np.arange(part.block)
        yield start + entries.ravel()
        start += part.size


def _order(part: Segment, orders: Orders) -> NDArray[np.intp]:
    return orders[part.group] if part.group in orders else np.arange(part.units)


def _blocks(segments: tuple[Segment, ...]) -> NDArray[np.intp]:
    return np.concatenate([np.full(part.units, part.block) for part in segments])


# ---------------------------------------------------------------- sums that are exact in any order


def _unit_rows(rows: Rows) -> Rows:
    """Rows scaled to a mean square of one; a row of zeros stays one."""
    most = np.abs(rows).max(axis=1, keepdims=True)
    steps = np.rint(rows / _positive(most) * _ROW_STEPS)
    mean_square = np.square(steps).sum(axis=1, keepdims=True) / rows.shape[1]
    return np.asarray(rows / _positive(most) * (_ROW_STEPS / np.sqrt(_positive(mean_square))))


def _grid(rows: Rows) -> Rows:
    """Whole numbers; 4096 is one standard deviation of a unit row."""
    return np.clip(np.rint(rows * _GRID), -_GRID_MOST, _GRID_MOST)


def _column_energies(rows: Rows, shape: tuple[int, ...], units: NDArray[np.intp]) -> Rows:
    """Per unit that is read: the sum of squares over all rows and all its entries."""
    columns = np.square(_grid(rows)).sum(axis=0).reshape(shape[1], shape[2]).sum(axis=1)
    return np.asarray(np.bincount(units, weights=columns), np.float64)


def _energies(rows: Rows, mask: Rows) -> Rows:
    return np.asarray((np.square(_grid(rows)) * mask).sum(axis=1))


def _lengths(rows: Rows, mask: Rows) -> Rows:
    """Root of the mean square of each row over the mask."""
    most = _positive(np.abs(rows).max(axis=1))
    steps = np.rint(rows / most[:, None] * _ROW_STEPS)
    energy = (np.square(steps) * mask).sum(axis=1) / _positive(mask.sum(axis=1))
    return np.asarray(most * (np.sqrt(energy) / _ROW_STEPS))


def _cosines(targets: Rows, rows: Rows, mask: Rows) -> Rows:
    """[targets, rows] over each target's own mask."""
    wanted, found = _grid(targets) * mask, _grid(rows)
    energies = np.square(wanted).sum(axis=1)[:, None] * (mask @ np.square(found).T)
    return np.asarray((wanted @ found.T) / np.sqrt(_positive(energies)))


def _positive(values: Rows) -> Rows:
    """Zeros become one: what is divided by them is zero as well."""
    return np.where(values > 0, values, 1.0)

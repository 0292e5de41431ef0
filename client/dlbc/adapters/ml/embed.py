"""The projection of `core.watermark.embed` in torch, on the devices where the weights are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dlbc.adapters.ml.parameters import Rows, local, named_tensors, rows_of
from dlbc.core import watermark
from dlbc.core.errors import BadInput

SAMPLES = 4096
"""Carriers from which a scale is estimated: the median of so many is within 2 % (one standard deviation)."""


class Projector:
    """Keeps every slot's mark in a module while it trains; make it when the module is on its device, as an optimizer.

    `project` is `core.watermark.embed` for all slots at once, in float32, up to rounding and one thing: where a slot
    has more than SAMPLES carriers in a tensor, the median is that of SAMPLES of them, always the same ones. No value
    travels to the host. What has no scale (zeros, NaN) is left alone.

    Autocast changes nothing: parameters are float32 and the projection is. Ranks of DDP hold equal weights and project
    them equally. Under `fully_shard` each rank projects its rows, and two sums go around, of the samples and of the
    bits: every rank has to call `project`, all get the same scales, and the result is one process's up to rounding.
    """

    def __init__(self, module: nn.Module, slot_keys: Sequence[bytes], payloads: Sequence[bytes]) -> None:
        """Raises BadInput for too few carriers, weights that are not float32 or tied, and shardings but by rows."""
        tensors = named_tensors(module)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        carriers = watermark.carriers_per_slot(shapes)
        if carriers < watermark.MIN_CARRIERS:
            raise BadInput(f"watermark: a slot needs {watermark.MIN_CARRIERS} carriers, this model has {carriers}")
        slots = [watermark.bands(shapes, slot) for slot in range(len(slot_keys))]
        self._tensors = {name: tensors[name] for name in dict.fromkeys(band.name for slot in slots for band in slot)}
        _check(self._tensors)
        rows = {name: rows_of(name, tensor) for name, tensor in self._tensors.items()}
        self._group = _group(rows)
        device = local(next(iter(self._tensors.values()))).device

        self._carriers = carriers
        self._n, self._gamma = watermark.strengths(carriers)
        self._pieces, self._parts = _layout(slots, rows, self._n)
        chips = _chips(slot_keys, carriers, self._pieces, self._parts[-1].stop * self._n)
        bits = np.stack([watermark.payload_bits(payload, self._n) for payload in payloads])
        counts = np.full(self._n, carriers // self._n) + (np.arange(self._n) < carriers % self._n)
        self._chips = torch.from_numpy(chips).view(-1, self._n).to(device)
        self._bits = torch.from_numpy(bits.astype(np.float32)).to(device)
        self._roots = torch.from_numpy(np.sqrt(counts).astype(np.float32)).to(device)
        self._samples = _Samples(slots, rows, device)

    @torch.no_grad()
    def project(self) -> None:
        """Moves the weights to the nearest ones that carry every mark."""
        with torch.autocast(self._chips.device.type, enabled=False):
            tensors = {name: local(tensor) for name, tensor in self._tensors.items()}
            # A channels-last tensor has no [out, flattened] view: a contiguous copy is projected and written back.
            plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
            self._project(plain)
            for name, tensor in tensors.items():
                if plain[name].data_ptr() != tensor.data_ptr():
                    tensor.copy_(plain[name])

    def _project(self, tensors: Mapping[str, Tensor]) -> None:
        scales = watermark.ROBUST_RMS * self._samples.medians(tensors, self._group)
        divisors, factors = scales.nan_to_num(torch.inf).unbind(), scales.nan_to_num(0.0).unbind()
        unit = torch.zeros(self._chips.shape, device=self._chips.device)
        flat = unit.view(-1)
        views = [(piece.band, piece.of(tensors[piece.name]), piece.inside(flat)) for piece in self._pieces]
        for band, weights, values in views:
            torch.div(weights, divisors[band], out=values)
        unit.clamp_(-watermark.CLIP_RMS, watermark.CLIP_RMS).mul_(self._chips)
        steps = self._steps([unit[part] for part in self._parts])
        for part, step in zip(self._parts, steps, strict=True):
            torch.mul(self._chips[part], step, out=unit[part])
        for band, weights, values in views:
            weights.addcmul_(values, factors[band])

    def _steps(self, agreements: Sequence[Tensor]) -> Tensor:
        """How far the carriers of each bit move along their chips, in scales, [slots, n]; 0 for what is not finite."""
        sums = torch.stack([agreement.sum(0) for agreement in agreements])
        energy = torch.stack([torch.dot(agreement.view(-1), agreement.view(-1)) for agreement in agreements])
        if self._group is not None:
            together = torch.cat([sums, energy[:, None]], 1)
            torch.distributed.all_reduce(together, group=self._group)
            sums, energy = together[:, :-1], together[:, -1]
        rms = (energy / self._carriers).sqrt()[:, None]
        lacking = (self._gamma - self._bits * sums / (self._roots * rms)).clamp_min(0.0)
        return (rms * lacking * self._bits / self._roots).nan_to_num(0.0)


@dataclass(frozen=True, slots=True)
class _Piece:
    """The carriers of one band that are in this process, and their place among the slot's."""

    name: str
    slot: int
    band: int
    """Counted over all slots: whose scale it takes."""
    first_row: int
    end_row: int
    columns: int
    first: int
    """Index of the first carrier in its slot."""
    at: int
    """Where it lies in the buffer: at ≡ first modulo n, so that a column of the buffer is one bit."""

    @property
    def rows(self) -> int:
        return self.end_row - self.first_row

    @property
    def carriers(self) -> int:
        return self.rows * (self.columns // 2)

    def of(self, tensor: Tensor) -> Tensor:
        """The carriers in a tensor of this process, [rows, columns // 2]."""
        return tensor.view(-1, self.columns)[self.first_row : self.end_row, 1::2]

    def inside(self, buffer: Tensor) -> Tensor:
        """The same place in the flat buffer, [rows, columns // 2]."""
        return buffer[self.at : self.at + self.carriers].view(self.rows, -1)


def _layout(
    slots: Sequence[Sequence[watermark.Band]], rows: Mapping[str, Rows], n: int
) -> tuple[list[_Piece], list[slice]]:
    """This process's pieces, and each slot's rows of the buffer [rows, n]. Gaps are where other ranks have carriers."""
    pieces: list[_Piece] = []
    parts = []
    at = bands = 0
    for slot, found in enumerate(slots):
        first = 0
        begin = at // n
        for band in found:
            here = rows[band.name]
            first_row, end_row = max(band.first, here.first), min(band.end, here.end)
            if first_row < end_row:
                index = first + (first_row - band.first) * (band.columns // 2)
                at += (index - at) % n
                span = (first_row - here.first, end_row - here.first)
                pieces.append(_Piece(band.name, slot, bands, *span, band.columns, index, at))
                at += pieces[-1].carriers
            first += band.carriers
            bands += 1
        at += -at % n
        parts.append(slice(begin, at // n))
    return pieces, parts


def _chips(slot_keys: Sequence[bytes], carriers: int, pieces: Sequence[_Piece], size: int) -> NDArray[np.int8]:
    """The chips of all pieces in their places, 0 in the gaps."""
    chips = np.zeros(size, np.int8)
    for slot, key in enumerate(slot_keys):
        signs = watermark.chips(key, carriers)
        for piece in pieces:
            if piece.slot == slot:
                chips[piece.at : piece.at + piece.carriers] = signs[piece.first : piece.first + piece.carriers]
    return chips


class _Samples:
    """Where the carriers lie whose median sets a band's scale: at most SAMPLES, the same in every run and rank."""

    def __init__(
        self, slots: Sequence[Sequence[watermark.Band]], rows: Mapping[str, Rows], device: torch.device
    ) -> None:
        bands = [band for slot in slots for band in slot]
        self._shape = (len(bands), min(SAMPLES, max(band.carriers for band in bands)))
        sources: dict[str, list[NDArray[np.int64]]] = {name: [] for name in rows}
        places: dict[str, list[NDArray[np.int64]]] = {name: [] for name in rows}
        for index, band in enumerate(bands):
            chosen = _choose(band.carriers, self._shape[1])
            here, half = rows[band.name], band.columns // 2
            row = band.first + chosen // half
            is_here = (here.first <= row) & (row < here.end)
            source = (row - here.first) * band.columns + chosen % half * 2 + 1
            sources[band.name].append(source[is_here])
            places[band.name].append(index * self._shape[1] + np.flatnonzero(is_here))
        self._sources = {name: torch.from_numpy(np.concatenate(found)).to(device) for name, found in sources.items()}
        self._places = torch.from_numpy(np.concatenate([part for found in places.values() for part in found]))
        self._places = self._places.to(device)

    def medians(self, tensors: Mapping[str, Tensor], group: Any) -> Tensor:
        """Lower median of the non-zero absolute samples of each band; NaN if there are none."""
        found = [tensors[name].view(-1).index_select(0, source) for name, source in self._sources.items()]
        samples = torch.zeros(self._shape, device=self._places.device)
        samples.view(-1).index_copy_(0, self._places, torch.cat(found))
        if group is not None:
            torch.distributed.all_reduce(samples, group=group)
        absolute = samples.abs_()
        return torch.where(absolute > 0, absolute, torch.nan).nanmedian(1).values


def _choose(carriers: int, most: int) -> NDArray[np.int64]:
    """Indices of at most `most` carriers, drawn without replacement from a fixed seed."""
    if carriers <= most:
        return np.arange(carriers)
    return np.sort(np.random.default_rng(0).choice(carriers, most, replace=False, shuffle=False))


def _check(tensors: Mapping[str, Tensor]) -> None:
    names: dict[int, str] = {}
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or tensor.is_meta:
            raise BadInput(
                f"watermark: {name} was expected in float32 on a device, found {tensor.dtype} on {tensor.device}; "
                "keep the parameters in float32 and compute under autocast"
            )
        other = names.setdefault(id(tensor), name)
        if other != name:
            raise BadInput(f"watermark: {other} and {name} are tied and would be marked twice; untie them")


def _group(rows: Mapping[str, Rows]) -> Any:
    """The process group among which the rows are divided; None where every tensor is whole."""
    groups = [found.group for found in rows.values()]
    if any(group is not groups[0] for group in groups):
        raise BadInput("watermark: the weights were expected to be cut over one group of ranks, found several")
    return groups[0]

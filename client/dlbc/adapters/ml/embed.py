"""The projection of `core.watermark.embed` in torch, on the device where the weights are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dlbc.core import watermark
from dlbc.core.errors import BadInput


class Projector:
    """Keeps every slot's mark in a module while it trains. Chips and bits are moved to the device once."""

    def __init__(self, module: nn.Module, slot_keys: Sequence[bytes], payloads: Sequence[bytes]) -> None:
        self._tensors: Mapping[str, Tensor] = {
            name: tensor for name, tensor in module.named_parameters() if tensor.ndim >= 2
        }
        shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        if watermark.carriers_per_slot(shapes) < watermark.MIN_CARRIERS:
            raise BadInput(
                f"watermark: a slot needs {watermark.MIN_CARRIERS} carriers, "
                f"this model has {watermark.carriers_per_slot(shapes)}"
            )
        device = next(module.parameters()).device
        self._slots = [
            _Slot(shapes, slot, key, payload, device)
            for slot, (key, payload) in enumerate(zip(slot_keys, payloads, strict=True))
        ]

    @torch.no_grad()
    def project(self) -> None:
        """Moves the weights to the nearest ones that carry every mark; no value travels to the host."""
        views = {}
        for name, tensor in self._tensors.items():
            # A channels-last tensor has no [out, flattened] view: project a contiguous copy and write it back.
            views[name] = tensor.detach().contiguous().view(tensor.shape[0], -1)
        for slot in self._slots:
            slot.project(views)
        for name, tensor in self._tensors.items():
            if views[name].data_ptr() != tensor.data_ptr():
                tensor.copy_(views[name].view(tensor.shape))


class _Slot:
    def __init__(self, shapes: watermark.Shapes, slot: int, key: bytes, payload: bytes, device: torch.device) -> None:
        self._bands = watermark.bands(shapes, slot)
        self._carriers = sum(band.carriers for band in self._bands)
        self._n, self._gamma = watermark.strengths(self._carriers)
        self._signs = torch.from_numpy(watermark.chips(key, self._carriers)).to(device)
        bits = watermark.payload_bits(payload, self._n).astype(np.float32)
        counts = np.full(self._n, self._carriers // self._n) + (np.arange(self._n) < self._carriers % self._n)
        self._bits = torch.from_numpy(bits).to(device)
        self._roots = torch.from_numpy(np.sqrt(counts).astype(np.float32)).to(device)

    def project(self, views: Mapping[str, Tensor]) -> None:
        carriers = [views[band.name][band.first : band.end, 1::2] for band in self._bands]
        scales = [watermark.ROBUST_RMS * _median(view) for view in carriers]
        unit = torch.cat(
            [
                (view / scale).nan_to_num(0.0).clamp(-watermark.CLIP_RMS, watermark.CLIP_RMS).flatten()
                for view, scale in zip(carriers, scales, strict=True)
            ]
        )
        rms = unit.square().mean().sqrt()
        n, count = self._n, self._carriers
        padded = functional.pad(unit * self._signs, (0, -count % n))
        sums = padded.view(-1, n).sum(0)
        lacking = (self._gamma - self._bits * sums / (self._roots * rms)).clamp_min(0.0)
        step = rms * lacking * self._bits / self._roots
        change = step.repeat(len(padded) // n)[:count] * self._signs
        start = 0
        for view, scale in zip(carriers, scales, strict=True):
            view += (change[start : start + view.numel()] * scale.nan_to_num(0.0)).view(view.shape)
            start += view.numel()


def _median(values: Tensor) -> Tensor:
    """Lower median of the non-zero absolute values; NaN if there are none."""
    absolute = values.abs()
    return torch.where(absolute > 0, absolute, torch.nan).flatten().nanmedian()

"""A module, its optimiser and the samples on one device: what learns batches, alone or as one rank of several."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from dlbc.adapters.ml.families import build
from dlbc.adapters.ml.precision import fast_dtype, mixed_precision
from dlbc.core.architecture import CONVOLUTIONAL, Architecture
from dlbc.ports import Dataset


class Learner:
    """Made when there is memory for the model and its optimiser; give it weights with `families.load_weights`."""

    def __init__(self, architecture: Architecture, data: Dataset, device: torch.device, weight_decay: float) -> None:
        self.device = device
        self.module = build(architecture).to(device)
        if architecture.family in CONVOLUTIONAL:
            self.module = self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.module.parameters(), weight_decay=weight_decay, fused=True)
        self._dtype = fast_dtype(architecture, device)
        self._x = place(data.x, architecture, device)
        self._y = torch.from_numpy(np.array(data.y)).to(self._x.device)
        self._replica: DistributedDataParallel | None = None
        self._rank, self._ranks = 0, 1

    @property
    def samples(self) -> int:
        """How many there are to learn from."""
        return len(self._y)

    def join_ranks(self) -> None:
        """From now on `learn` takes this rank's part of a batch and averages gradients. Every rank has to call it.

        All start from rank 0's weights. Statistics of batch normalisation are those of a rank's own part; the running
        ones are rank 0's, which DDP sends before each step.
        """
        self._rank, self._ranks = distributed.get_rank(), distributed.get_world_size()
        self._replica = DistributedDataParallel(
            self.module,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )

    def order(self, seed: int, epoch: int) -> Tensor:
        """An epoch's samples in an order drawn from (seed, epoch), so a resumed run sees what an unbroken one would."""
        order = torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(self.samples))
        return order.to(self._y.device)

    def learn(self, batch: Tensor, rate: float, at_once: int) -> Tensor:
        """One optimiser step on a batch of samples, at most `at_once` of them at a time on each rank; the mean loss.

        On several ranks it is that of this rank's part, scaled so that the mean over all ranks is the batch's.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._gradients(batch, at_once)
        self.optimizer.step()
        return loss

    def free(self) -> None:
        """Gives back what a failed step left."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # ------------------------------------------------------------------ inside

    def _gradients(self, batch: Tensor, at_once: int) -> Tensor:
        """Averages over the batch, of all ranks: DDP divides the sum by the ranks, so each part is weighed by them."""
        self.optimizer.zero_grad(set_to_none=True)
        part = self._part_of(batch)
        if len(part) == 0:  # fewer samples than ranks: all have to go through a step together
            return self._backward(batch[:1], 0.0)
        if len(part) <= at_once:
            return self._backward(part, len(part) * self._ranks / len(batch))
        *first, last = torch.split(part, at_once)
        losses = [self._backward_alone(piece, len(piece) * self._ranks / len(batch)) for piece in first]
        return torch.stack([*losses, self._backward(last, len(last) * self._ranks / len(batch))]).sum()

    def _part_of(self, batch: Tensor) -> Tensor:
        """What this rank learns of a batch; parts differ by one sample at most."""
        return torch.tensor_split(batch, self._ranks)[self._rank]

    def _backward_alone(self, index: Tensor, share: float) -> Tensor:
        """Gradients add up here, and are averaged over the ranks with those of the last piece."""
        if self._replica is None:
            return self._backward(index, share)
        with self._replica.no_sync():
            return self._backward(index, share)

    def _backward(self, index: Tensor, share: float) -> Tensor:
        x = self._x[index].to(self.device, non_blocking=True)
        y = self._y[index].to(self.device, non_blocking=True)
        model: nn.Module = self.module if self._replica is None else self._replica
        with mixed_precision(self.device, self._dtype):
            loss = functional.cross_entropy(model(x), y)
        if share != 1:
            loss = loss * share
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def place(x: NDArray[np.float32], architecture: Architecture, device: torch.device) -> Tensor:
    """The samples, on the device if they take at most half of its free memory; else batches travel one by one."""
    samples = torch.from_numpy(np.array(x))
    if architecture.family in CONVOLUTIONAL:
        samples = samples.contiguous(memory_format=torch.channels_last)
    if device.type == "cpu":
        return samples
    free, _ = torch.cuda.mem_get_info(device)
    return samples.to(device) if samples.nbytes <= free // 2 else samples.pin_memory()


@torch.no_grad()
def share_tensors(tensors: Iterable[Tensor]) -> None:
    """Rank 0's values to all, in one message. Every rank has to call it with tensors of the same shapes."""
    mine = [tensor.detach() for tensor in tensors]
    flat = torch.cat([tensor.reshape(-1) for tensor in mine])
    distributed.broadcast(flat, 0)
    if distributed.get_rank() > 0:
        for tensor, values in zip(mine, torch.split(flat, [tensor.numel() for tensor in mine]), strict=True):
            tensor.copy_(values.view(tensor.shape))

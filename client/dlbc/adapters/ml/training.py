"""One training run from shards to a marked model: Adam on a one-cycle schedule, resumed from its last epoch."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from math import cos, isfinite, pi
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dlbc.adapters.ml.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dlbc.adapters.ml.embed import Projector
from dlbc.adapters.ml.evaluate import describe_device, pick_device, predict
from dlbc.adapters.ml.families import build, initial_weights, load_weights, weights_of
from dlbc.adapters.ml.shards import load_dataset
from dlbc.adapters.ml.weights import check_model, save_model
from dlbc.core import watermark
from dlbc.core.architecture import CONVOLUTIONAL
from dlbc.core.errors import Refused
from dlbc.ports import Dataset, TrainJob

VALIDATION_SHARE = 10
PROJECT_EVERY = 64
"""Optimiser steps from one projection of the marks to the next, over all epochs; the first marks the random start."""
WARM_UP = 0.25
WEIGHT_DECAY = 1e-2


class Reports(Protocol):
    """Where progress goes (child.Reporter)."""

    def is_due(self) -> bool: ...

    def tell(self, **changes: object) -> None: ...


def run(job: TrainJob, fingerprint: str, reports: Reports) -> dict[str, Any]:
    """Trains, marks and saves job.work/model.safetensors; returns what result.json says. Raises Refused."""
    device = pick_device(job.device)
    where = describe_device(device)
    reports.tell(state="starting", message=f"loading data for {where}")
    data = load_dataset(job.shards, input_shape=job.architecture.input_shape, classes=job.architecture.classes)
    training, validation = split(data, job.seed)
    state = load_checkpoint(job.work, job.architecture, fingerprint)
    if state is None:
        start = _start(job)
        state = Checkpoint(fingerprint, weights=start, best=start)
    resumed = state.epoch
    reports.tell(state="training", epoch=state.epoch, message=f"training on {where}")
    state = Run(job, device, training, validation, reports).to_the_end(state)

    weights = {name: np.array(tensor) for name, tensor in state.best.items()}
    marks = mark(weights, job)
    right = predict(weights, job.architecture, validation.x, device.type) == validation.y
    return {
        "model_bytes": save_model(weights, job.work / "model.safetensors"),
        "validation_ppm": int(right.sum()) * 1_000_000 // len(right),
        "epochs": job.epochs,
        "resumed_after_epoch": resumed,
        "seconds": round(state.seconds, 3),
        "device": device.type,
        "device_name": where,
        "watermark": marks,
    }


def _start(job: TrainJob) -> dict[str, NDArray[np.float32]]:
    if job.start is None:
        return initial_weights(job.architecture, job.init_key)
    return check_model(job.start, job.architecture, max_bytes=job.start.stat().st_size)


def split(data: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """(training, validation): a tenth of the samples, drawn by the seed, is kept for model selection."""
    if len(data.y) < 2:
        raise Refused(f"training: expected at least 2 samples, to train on and to validate with, found {len(data.y)}")
    order = np.random.default_rng(seed).permutation(len(data.y))
    kept = max(1, len(order) // VALIDATION_SHARE)
    return (
        Dataset(data.x[order[kept:]], data.y[order[kept:]]),
        Dataset(data.x[order[:kept]], data.y[order[:kept]]),
    )


def mark(weights: dict[str, NDArray[np.float32]], job: TrainJob) -> list[dict[str, Any]]:
    """Embeds every slot with the pinned projection and proves by the pinned detector that it can be read."""
    marks = []
    for slot, (key, payload) in enumerate(zip(job.slot_keys, job.payloads, strict=True)):
        watermark.embed(weights, key, slot, payload)
        found = watermark.detect(weights, key, slot, payload)
        if not found.is_detected:
            raise Refused(
                f"watermark: slot {slot} was expected to read {float(watermark.OWN)}, it reads {found.strength:.2f}"
            )
        marks.append({"slot": slot, "strength": round(found.strength, 2), "bits_wrong": found.bits_wrong, "n": found.n})
    return marks


@dataclass
class Run:
    """The loop and what it moves to the device."""

    job: TrainJob
    device: torch.device
    training: Dataset
    validation: Dataset
    reports: Reports
    module: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.module = build(self.job.architecture).to(self.device)
        if self._is_convolutional:
            self.module = self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._x = self._place(self.training.x)
        self._y = torch.from_numpy(np.array(self.training.y)).to(self._x.device)
        self._validation_x = self._place(self.validation.x)
        self._validation_y = torch.from_numpy(np.array(self.validation.y))
        self._batch = min(self.job.batch, len(self._y))
        self._steps = -(-len(self._y) // self._batch)

    @property
    def _is_convolutional(self) -> bool:
        return self.job.architecture.family in CONVOLUTIONAL

    def _place(self, x: NDArray[np.float32]) -> Tensor:
        """The samples, on the device if they take at most half of its free memory; else batches travel one by one."""
        samples = torch.from_numpy(np.array(x))
        if self._is_convolutional:
            samples = samples.contiguous(memory_format=torch.channels_last)
        if self.device.type == "cpu":
            return samples
        free, _ = torch.cuda.mem_get_info(self.device)
        return samples.to(self.device) if samples.nbytes <= free // 2 else samples.pin_memory()

    def to_the_end(self, state: Checkpoint) -> Checkpoint:
        """Trains the epochs that are left; a checkpoint is on disk after each."""
        load_weights(self.module, state.weights)
        optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=self.job.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
        )
        if state.first:
            _restore(optimizer, self.module, state, self._steps)
        projector = Projector(self.module, self.job.slot_keys, self.job.payloads) if self.job.slot_keys else None
        while state.epoch < self.job.epochs:
            began = time.monotonic()
            loss = self._epoch(state.epoch, optimizer, projector)
            if not isfinite(loss):
                raise Refused(
                    f"training: the loss is {loss} in epoch {state.epoch + 1} of {self.job.epochs}; "
                    f"lower the learning rate (it is {self.job.learning_rate:g})"
                )
            validation_ppm = self._validate()
            weights = weights_of(self.module)
            is_best = state.validation_ppm is None or validation_ppm >= state.validation_ppm
            first, second = _moments(optimizer, self.module)
            state = Checkpoint(
                fingerprint=state.fingerprint,
                epoch=state.epoch + 1,
                validation_ppm=validation_ppm if is_best else state.validation_ppm,
                seconds=state.seconds + time.monotonic() - began,
                weights=weights,
                best=weights if is_best else state.best,
                first=first,
                second=second,
            )
            save_checkpoint(self.job.work, state)
            self.reports.tell(epoch=state.epoch, loss=round(loss, 6), validation_ppm=state.validation_ppm)
        return state

    def _epoch(self, epoch: int, optimizer: torch.optim.Optimizer, projector: Projector | None) -> float:
        """One pass in an order drawn from (seed, epoch), so a resumed run sees what an unbroken one would."""
        self.module.train()
        order = torch.from_numpy(np.random.default_rng([self.job.seed, epoch]).permutation(len(self._y)))
        order = order.to(self._y.device)
        total = torch.zeros((), device=self.device)
        for step in range(self._steps):
            if projector is not None and (epoch * self._steps + step) % PROJECT_EVERY == 0:
                projector.project()
            index = order[step * self._batch : (step + 1) * self._batch]
            x = self._x[index].to(self.device, non_blocking=True)
            y = self._y[index].to(self.device, non_blocking=True)
            for group in optimizer.param_groups:
                group["lr"] = self._learning_rate(epoch * self._steps + step)
            optimizer.zero_grad(set_to_none=True)
            with self._mixed_precision():
                loss = functional.cross_entropy(self.module(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach() * len(index)
            if self.reports.is_due():
                seen = min((step + 1) * self._batch, len(self._y))
                self.reports.tell(epoch=epoch, loss=round(float(total) / seen, 6))
        return float(total) / len(self._y)

    def _learning_rate(self, step: int) -> float:
        """One cycle: a tenth of the peak, up over the first quarter, down along a cosine to a thousandth."""
        share = (step + 1) / (self._steps * self.job.epochs)
        peak = self.job.learning_rate
        if share < WARM_UP:
            return peak * (0.1 + 0.9 * share / WARM_UP)
        return peak * (0.001 + 0.999 * (1 + cos(pi * (share - WARM_UP) / (1 - WARM_UP))) / 2)

    def _mixed_precision(self) -> AbstractContextManager[Any]:
        """bfloat16 where the hardware has it: on CUDA, and for convolutions on CPUs (there it halves the time)."""
        if self.device.type == "cuda":
            is_native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            is_native = self._is_convolutional and _cpu_has_bfloat16()
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if is_native else nullcontext()

    def _validate(self) -> int:
        """Accuracy on the validation part, ppm."""
        self.module.eval()
        right = 0
        with torch.inference_mode():
            for start in range(0, len(self._validation_x), 1024):
                logits = self.module(self._validation_x[start : start + 1024].to(self.device))
                right += int((logits.argmax(1).cpu() == self._validation_y[start : start + 1024]).sum())
        return right * 1_000_000 // len(self._validation_y)


def _cpu_has_bfloat16() -> bool:
    """Emulated bfloat16 would be slower than float32. Older torch can't tell: then no."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _moments(
    optimizer: torch.optim.Optimizer, module: nn.Module
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Adam's running averages of gradients and of their squares, by parameter name."""
    first, second = {}, {}
    for name, parameter in module.named_parameters():
        state = optimizer.state[parameter]
        first[name] = state["exp_avg"].to("cpu", copy=True).contiguous().numpy()
        second[name] = state["exp_avg_sq"].to("cpu", copy=True).contiguous().numpy()
    return first, second


def _restore(optimizer: torch.optim.Optimizer, module: nn.Module, state: Checkpoint, steps: int) -> None:
    """Puts the averages and the step count back, in each parameter's own memory format, as fused kernels require."""

    def like(parameter: Tensor, values: NDArray[np.float32]) -> Tensor:
        return torch.empty_like(parameter, requires_grad=False).copy_(torch.from_numpy(np.array(values)))

    saved = optimizer.state_dict()
    saved["state"] = {
        index: {
            "step": torch.tensor(float(state.epoch * steps)),
            "exp_avg": like(parameter, state.first[name]),
            "exp_avg_sq": like(parameter, state.second[name]),
        }
        for index, (name, parameter) in enumerate(module.named_parameters())
    }
    optimizer.load_state_dict(saved)

"""What a training strategy is given, and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlbc.adapters.ml.team import Team
from dlbc.core.architecture import Architecture
from dlbc.ports import Dataset

WEIGHT_DECAY = 1e-2

Weights = Mapping[str, NDArray[np.float32]]


class Reports(Protocol):
    """Where progress goes (child.Reporter)."""

    def is_due(self) -> bool: ...

    def tell(self, **changes: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: what the task's manifest says, unless a strategy knows better."""

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float = WEIGHT_DECAY
    patience: int | None = None  # epochs after the warm-up without a better validation that end it; None: never


def _unmarked(module: nn.Module, step: int = 0) -> Callable[[], bool | None] | None:
    """No marks, for tasks of tests and benchmarks."""
    return None


@dataclass(frozen=True)
class TrainingTask:
    """One training. Times are seconds of `clock`; x: float32 [n, *input_shape], y: int64 [n] or [n, height, width]."""

    architecture: Architecture
    training: Dataset
    validation: Dataset  # a part of the task's data, for selection
    device: torch.device
    start: Weights  # random under the miner's secret key, or the parent model's
    recipe: Recipe
    seed: int
    work: Path  # a folder that survives kills, for checkpoints
    reports: Reports
    fingerprint: str = ""  # names the job; a checkpoint with another one is not this job's
    deadline: float = inf
    clock: Callable[[], float] = time.monotonic
    marker: Callable[..., Callable[[], bool | None] | None] = field(default=_unmarked, repr=False)
    """marker(module, step=0): a function to call before every optimiser step, which trains the miner's watermark in and
    says whether it moved the weights now; None where there is none. `step` is where a resumed run goes on. The mark is
    embedded after training in any case: trained in, it costs less accuracy.
    """
    team: Team | None = None  # the other ranks, where one training runs on several devices
    at_once: int | None = None  # samples that memory is known to hold; None: not known

    def seconds_left(self) -> float:
        """Until the strategy has to have returned; inf without a budget."""
        return self.deadline - self.clock()

    def report(self, **facts: object) -> None:
        """Shows progress: any of epoch, epochs, loss, validation_ppm, message."""
        self.reports.tell(**facts)


@dataclass(frozen=True)
class Trained:
    """What a strategy may return instead of a module or plain weights, to tell more."""

    weights: Mapping[str, Any] | nn.Module
    epochs: int = 0  # of the training data, in all
    seconds: float | None = None  # spent, with what was spent before a kill; None: measured
    notes: Mapping[str, Any] = field(default_factory=dict)  # JSON, into result.json


class Strategy(Protocol):
    """Training code of a miner's own. Made without arguments, in the training process; returns before the deadline."""

    def train(self, task: TrainingTask) -> Trained | Mapping[str, Any] | nn.Module: ...

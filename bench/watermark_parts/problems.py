"""Data sets and nets of the benchmark, sized for two CPU cores; the results state every subset and rearrangement.

The larger nets of the paper need a GPU. These are the smallest of each family that have a slot's carriers to spare.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from dlbc.adapters.ml.datasets import load_data
from dlbc.core.architecture import FAMILIES, Architecture, architecture_from_json
from dlbc.ports import Dataset
from numpy.typing import NDArray

WEIGHT_DECAY = 1e-2
"""The trainer's (adapters.ml.training)."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One net on one data set. `samples` and `tests` of None take all there are."""

    net: dict[str, Any]
    epochs: int
    budget: int
    """Epochs an attacker trains at most."""
    lengths: tuple[int, ...]
    """Epochs of the attackers' and of the retrainers' one-cycle schedules."""
    batch: int = 64
    learning_rate: float = 2e-3
    samples: int | None = None
    tests: int | None = None
    parts: int = 1
    """Times an epoch that thieves and retrainers look at what they have; more where an epoch has few steps."""
    attacked: int = 1
    """Models that are attacked, of the first seeds."""
    target: str = ""
    """The one layer that Uchida's mark is in: a middle one, as in the paper."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A setting with its data. x: float32 [n, *input_shape], y: int64 [n]."""

    dataset: str
    family: str
    setting: Setting
    architecture: Architecture
    train: Dataset
    test: Dataset

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.family}"


DIGITS: dict[str, Any] = {"epochs": 20, "budget": 24, "lengths": (2, 4, 6, 8, 12, 20), "parts": 2}
FASHION: dict[str, Any] = {
    "epochs": 8,
    "budget": 12,
    "lengths": (2, 4, 6, 8),
    "samples": 5_000,
    "tests": 2_000,
}
SETTINGS = {
    ("digits", "mlp"): Setting(
        {"input_shape": [1, 8, 8], "hidden": [512, 256]}, target="linears.1.weight", attacked=2, **DIGITS
    ),
    ("digits", "cnn"): Setting(
        {"input_shape": [1, 8, 8], "channels": [32, 64], "hidden": [128]}, target="convs.1.weight", attacked=2, **DIGITS
    ),
    ("digits", "resnet"): Setting(
        {"input_shape": [1, 8, 8], "channels": [16, 64], "blocks": [1, 1]}, target="stages.1.0.conv2.weight", **DIGITS
    ),
    ("digits", "transformer"): Setting(
        {"input_shape": [1, 8, 8], "width": 64, "heads": 4, "layers": 2}, target="blocks.1.down.weight", **DIGITS
    ),
    ("fashion-mnist", "cnn"): Setting(
        {"input_shape": [1, 28, 28], "channels": [16, 32], "hidden": [64]}, target="linears.0.weight", **FASHION
    ),
    ("fashion-mnist", "resnet"): Setting(
        {"input_shape": [4, 14, 14], "channels": [8, 16, 64], "blocks": [1, 1, 1]},
        target="stages.2.0.conv2.weight",
        **FASHION,
    ),
    ("fashion-mnist", "transformer"): Setting(
        {"input_shape": [1, 7, 112], "width": 64, "heads": 4, "layers": 2}, target="blocks.1.down.weight", **FASHION
    ),
}
QUICK = {
    ("digits", "mlp"): Setting(
        {"input_shape": [1, 8, 8], "hidden": [512, 256]},
        epochs=10,
        budget=8,
        parts=2,
        lengths=(4, 8),
        target="linears.1.weight",
    ),
    ("digits", "cnn"): Setting(
        {"input_shape": [1, 8, 8], "channels": [32, 64], "hidden": [128]},
        epochs=10,
        budget=8,
        parts=2,
        lengths=(4, 8),
        target="convs.1.weight",
    ),
    ("digits", "transformer"): Setting(
        {"input_shape": [1, 4, 16], "width": 64, "heads": 4, "layers": 2},
        epochs=6,
        budget=8,
        parts=2,
        lengths=(8,),
        target="blocks.1.down.weight",
    ),
}


def chosen(
    settings: dict[tuple[str, str], Setting], datasets: list[str] | None, families: list[str] | None
) -> list[tuple[str, str]]:
    """The cells asked for, in the table's order; families that this client does not have are left out."""
    return [
        (dataset, family)
        for dataset, family in settings
        if family in FAMILIES and dataset in (datasets or [dataset]) and family in (families or [family])
    ]


@lru_cache(maxsize=4)
def problem(dataset: str, family: str, is_quick: bool) -> Problem:
    """The data in the shape that the net takes; subsets are the first samples of the seeded shuffle."""
    setting = (QUICK if is_quick else SETTINGS)[dataset, family]
    data = load_data(dataset, seed=0)
    architecture = architecture_from_json({"family": family, "classes": data.classes, **setting.net})
    return Problem(
        dataset,
        family,
        setting,
        architecture,
        _part(data.train, setting.samples, architecture.input_shape),
        _part(data.test, setting.tests, architecture.input_shape),
    )


def _part(data: Dataset, samples: int | None, shape: tuple[int, ...]) -> Dataset:
    return Dataset(rearranged(data.x[:samples], shape), data.y[:samples])


def rearranged(x: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Images [n, 1, h, w] as [n, *shape] without losing a pixel.

    (k², h/k, w/k): each k x k square becomes the channels of one position, so a net has fewer positions to visit.
    (1, h/k, k·w): k rows become one token.
    """
    n = len(x)
    if shape[0] == 1:
        return np.ascontiguousarray(x.reshape(n, *shape))
    side = x.shape[2] // shape[1]
    squares = x.reshape(n, shape[1], side, shape[2], side).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(squares.reshape(n, *shape))


def described(one: Problem) -> dict[str, Any]:
    """What the results say about the training task."""
    return {
        "net": {"family": one.family, **one.setting.net},
        "training_samples": len(one.train.y),
        "test_samples": len(one.test.y),
        "epochs": one.setting.epochs,
        "batch": one.setting.batch,
        "learning_rate": one.setting.learning_rate,
        "weight_decay": WEIGHT_DECAY,
        "attack_budget_epochs": one.setting.budget,
        "looks_an_epoch": one.setting.parts,
        "one_cycle_lengths": list(one.setting.lengths),
    }

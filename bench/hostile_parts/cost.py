"""What a process without network costs: by itself, and in a whole audit of 10,000 samples."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from dlbc.adapters.ml.families import initial_weights
from dlbc.adapters.ml.shards import encode_dataset
from dlbc.adapters.ml.trainer import TorchTrainer
from dlbc.adapters.scoring import ConfinedScorer
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.types import TaskId
from dlbc.ports import Dataset, Scorer
from fakes.chain import CHAIN_ID, MARKET
from hostile.stage import SLOT_KEYS, Entry, Play, Task, miner_address
from numpy.typing import NDArray
from safetensors.numpy import save

CNN = Architecture("cnn", (1, 28, 28), 10, (128,), (32, 64))
SAMPLES = 10_000
TIMES = 5


class Timed(ConfinedScorer):
    """Knows how long it scored."""

    scored = 0.0

    def predict(
        self, weights: Mapping[str, Any], architecture: Architecture, x: NDArray[np.float32], device: str = "cpu"
    ) -> NDArray[np.int64]:
        began = time.perf_counter()
        found = super().predict(weights, architecture, x, device)
        self.scored += time.perf_counter() - began
        return found


def confinement() -> dict[str, Any]:
    """What this kernel takes away."""
    held = ConfinedScorer(stays=False).confinement()
    return {"network": list(held.network), "writes": held.has_no_writes, "children": held.has_no_children}


def measure() -> dict[str, Any]:
    """Seconds. here, apart: parsing and scoring in one process and in two, with torch imported in both."""
    x = np.random.default_rng(0).random((SAMPLES, *CNN.input_shape), np.float32)
    model, weights = _marked()
    plain, apart = TorchTrainer(), Timed(begins_now=True)
    began = time.perf_counter()
    apart.confinement()
    confined = time.perf_counter() - began
    apart.predict(weights, CNN, x[:10])
    imported = time.perf_counter() - began
    y = plain.predict(weights, CNN, x)
    data = encode_dataset(Dataset(x, y))

    def score(scorer: Scorer) -> float:
        began = time.perf_counter()
        found = scorer.check_model(model, CNN, max_bytes=2**30)
        scorer.predict(found, CNN, scorer.parse_dataset(data, input_shape=CNN.input_shape, classes=CNN.classes).x)
        return time.perf_counter() - began

    here, there = _medians(lambda: score(plain), lambda: score(apart))
    apart.scored, began = 0.0, time.perf_counter()
    with TemporaryDirectory() as folder:
        training = Dataset(x[:2], np.array([0, 1], np.int64))
        task = Task(architecture=CNN, training=training, test_plain=data, labels=y.tolist())
        play = Play(Path(folder), task)
        began = time.perf_counter()
        verdict = play.examine(Entry(model=model, predictions=y.tolist()), apart).partition(" | ")[0]
        audit = time.perf_counter() - began
    apart.close()
    assert verdict == "stands", verdict
    rounded = {"here": here, "apart": there, "confined": confined, "torchImported": imported, "audit": audit}
    share = round(apart.scored / audit, 3)
    return {"samples": SAMPLES, **{name: round(value, 3) for name, value in rounded.items()}, "scoringShare": share}


def _marked() -> tuple[bytes, dict[str, NDArray[np.float32]]]:
    """A model that says something, and its file."""
    weights = initial_weights(CNN, bytes(32))
    for slot, key in enumerate(SLOT_KEYS):
        watermark.embed(weights, key, slot, watermark.payload(CHAIN_ID, MARKET, TaskId(1), 0, miner_address(), slot))
    return bytes(save(weights)), weights


def _medians(*measured: Callable[[], float]) -> list[float]:
    """Of several rounds, each measured in turn."""
    rounds = [[one() for one in measured] for _ in range(TIMES)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]

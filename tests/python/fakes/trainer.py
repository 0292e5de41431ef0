"""Training without torch: nearest class centroids, with as much noise as a test wants, and a real watermark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dlbc.adapters.ml.shards import encode_dataset
from dlbc.adapters.ml.trainer import TorchTrainer
from dlbc.adapters.ml.weights import save_model
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.errors import Refused
from dlbc.ports import Dataset, TrainJob, TrainProgress, TrainResult
from numpy.typing import NDArray
from safetensors.numpy import load_file

FEATURES = 3_300
CLASSES = 10
"""A linear model of this size carries two slots of 8,250."""


class FakeData:
    """ports.DataSource: well separated clusters, the same for the same seed."""

    def __init__(self, training: int = 100, test: int = 40) -> None:
        self.sizes = training, test

    def load(self, source: str, folder: Path, seed: int) -> tuple[Dataset, Dataset]:
        """(training, test) samples; `source` is ignored."""
        chance = np.random.default_rng(seed)
        centres = chance.normal(size=(CLASSES, FEATURES)).astype(np.float32)
        parts = []
        for size in self.sizes:
            labels = np.arange(size, dtype=np.int64) % CLASSES
            noise = chance.normal(size=(size, FEATURES)).astype(np.float32)
            parts.append(Dataset(centres[labels] + noise, labels))
        return parts[0], parts[1]

    def pack(self, data: Dataset) -> bytes:
        return encode_dataset(data)


class FakeTrainer:
    """ports.Trainer for linear models. `noise` spoils the weights: 20 leaves about 3 in 4 right, 200 what chance gives.

    A job that goes on from a model keeps that model. `ticks` is how many looks a training takes, `failure` makes it
    fail, `lost` ends so many of its children from outside.
    """

    def __init__(self, noise: float = 0.0, ticks: int = 2, failure: str = "", lost: int = 0) -> None:
        self.noise, self.ticks, self.failure, self.lost = noise, ticks, failure, lost
        self.starts = 0

    def start(self, job: TrainJob) -> FakeHandle:
        self.starts += 1
        return FakeHandle(self, job)

    def load_dataset(self, shards: Sequence[Path], *, input_shape: Sequence[int], classes: int) -> Dataset:
        return TorchTrainer().load_dataset(shards, input_shape=input_shape, classes=classes)

    def parse_dataset(self, data: bytes, *, input_shape: Sequence[int], classes: int) -> Dataset:
        return TorchTrainer().parse_dataset(data, input_shape=input_shape, classes=classes)

    def check_model(self, model: bytes | Path, architecture: Architecture, *, max_bytes: int) -> dict[str, Any]:
        return TorchTrainer().check_model(model, architecture, max_bytes=max_bytes)

    def predict(
        self, weights: Mapping[str, Any], architecture: Architecture, x: NDArray[np.float32], device: str = "cpu"
    ) -> NDArray[np.int64]:
        return self.logits(weights, architecture, x, device).argmax(1).astype(np.int64)

    def logits(
        self, weights: Mapping[str, Any], architecture: Architecture, x: NDArray[np.float32], device: str = "cpu"
    ) -> NDArray[np.float32]:
        found: NDArray[np.float32] = x.reshape(len(x), -1) @ weights["linears.0.weight"].T + weights["linears.0.bias"]
        return found


class FakeHandle:
    """Done after a few looks."""

    def __init__(self, trainer: FakeTrainer, job: TrainJob) -> None:
        self._trainer, self._job, self._left = trainer, job, trainer.ticks

    def poll(self) -> TrainProgress:
        epochs = self._job.epochs
        if self._trainer.failure:
            return TrainProgress("failed", 0, epochs, None, None, self._trainer.failure)
        if 0 < self._trainer.starts <= self._trainer.lost:
            return TrainProgress("failed", 0, epochs, None, None, "ended by signal 9", may_resume=True)
        self._left -= 1
        if self._left > 0:
            return TrainProgress("training", 0, epochs, 1.0, None)
        self._train()
        return TrainProgress("done", epochs, epochs, 0.1, 900_000)

    def result(self) -> TrainResult:
        model = self._job.work / "model.safetensors"
        if not model.exists():
            raise Refused("training is not done")
        return TrainResult(model, model.stat().st_size, 900_000, self._job.epochs, 1.0, "cpu")

    def kill(self) -> None:
        """Nothing runs."""

    def _train(self) -> None:
        job = self._job
        data = self._trainer.load_dataset(
            job.shards, input_shape=job.architecture.input_shape, classes=job.architecture.classes
        )
        x = data.x.reshape(len(data.x), -1)
        centres = np.stack([x[data.y == label].mean(0) for label in range(job.architecture.classes)])
        chance = np.random.default_rng(job.seed)
        spoiled = centres + self._trainer.noise * chance.normal(size=centres.shape)
        weights = {
            "linears.0.weight": spoiled.astype(np.float32),
            "linears.0.bias": (-np.square(centres).sum(1) / 2).astype(np.float32),
        }
        if job.start is not None:
            weights = {name: np.array(tensor) for name, tensor in load_file(job.start).items()}
        for slot, (key, payload) in enumerate(zip(job.slot_keys, job.payloads, strict=True)):
            watermark.embed(weights, key, slot, payload)
        job.work.mkdir(parents=True, exist_ok=True)
        save_model(weights, job.work / "model.safetensors")

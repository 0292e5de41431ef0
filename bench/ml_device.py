"""What a training device is worth, what marking costs there, and whether it tells the truth: one JSON object.

    python bench/ml_device.py --device cuda        (or cpu; --seeds, --repeats, --samples set how long it takes)

A marked and an unmarked training take turns, epoch by epoch, in one process; the ratio is that of whole trainings, the
median of several pairs. It holds what happens in epochs; what a run does once (keys to chips, the exact embedding)
stands beside it. Detection is computed by numpy and, in int64, by torch on the device, and must agree in every digit;
predictions are compared sample by sample.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median, quantiles, stdev
from typing import Any

import numpy as np
import torch
from _help import parser_of
from dlbc.adapters.ml import training
from dlbc.adapters.ml.datasets import load_data
from dlbc.adapters.ml.embed import Projector
from dlbc.adapters.ml.evaluate import describe_device, pick_device, predict
from dlbc.adapters.ml.families import build, initial_weights, load_weights, weights_of
from dlbc.adapters.ml.loop import Finished, Loop
from dlbc.adapters.ml.task import Recipe, TrainingTask
from dlbc.adapters.ml.training import PROJECT_EVERY, mark, split
from dlbc.core import watermark
from dlbc.core.architecture import Architecture, parameters, tensor_shapes
from dlbc.core.types import Address
from dlbc.ports import Dataset, TrainJob
from numpy.typing import NDArray

LARGER = Architecture("cnn", (3, 32, 32), 10, (1024,), (64, 128, 256))
ACCOUNT = Address("0x" + "11" * 20)


@dataclass(frozen=True)
class Net:
    """A net and the training whose cost is measured."""

    architecture: Architecture
    epochs: int
    samples: int | None = None
    """Random images, so many; None: the digits."""


NETS = {
    "digits mlp": Net(Architecture("mlp", (1, 8, 8), 10, (512, 256)), 20),
    "digits cnn": Net(Architecture("cnn", (1, 8, 8), 10, (128,), (32, 64)), 20),
    "fashion cnn": Net(Architecture("cnn", (1, 28, 28), 10, (128,), (32, 64)), 3, 6_000),
}
BATCH = 128
"""What `dlbc task init` writes."""
SCHEDULES = {"while training": PROJECT_EVERY, "every 8 steps": 8, "at the start": 2**62}
"""Optimiser steps from one projection to the next; whatever it is, the exact embedding ends a run."""


class Quiet:
    """Reports that go nowhere."""

    def is_due(self) -> bool:
        return False

    def tell(self, **changes: object) -> None:
        pass


def job_for(architecture: Architecture, device: str, epochs: int, batch: int, rate: float, seed: int = 1) -> TrainJob:
    slots = watermark.slot_count(tensor_shapes(architecture))
    return TrainJob(
        work=Path(tempfile.gettempdir()),
        architecture=architecture,
        shards=(),
        epochs=epochs,
        batch=batch,
        learning_rate=rate,
        device=device,
        seed=seed,
        init_key=bytes([seed]) * 32,
        slot_keys=tuple(bytes([seed, slot + 2]) * 16 for slot in range(slots)),
        payloads=tuple(watermark.payload(31337, ACCOUNT, 1, 0, ACCOUNT, slot) for slot in range(slots)),
    )


def unmarked(job: TrainJob) -> TrainJob:
    return replace(job, slot_keys=(), payloads=())


def task_of(job: TrainJob, data: Dataset) -> TrainingTask:
    parts = split(data, job.seed)
    return TrainingTask(
        architecture=job.architecture,
        training=parts[0],
        validation=parts[1],
        device=pick_device(job.device),
        start=initial_weights(job.architecture, job.init_key),
        recipe=Recipe(job.epochs, job.batch, job.learning_rate),
        seed=job.seed,
        work=job.work,
        reports=Quiet(),
        marker=training.marker_of(job),
    )


def train(job: TrainJob, data: Dataset) -> Finished:
    """One whole run, in a work folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="dlbc-bench-") as work:
        return Loop(task_of(replace(job, work=Path(work)), data)).run()


class TimedProjector(Projector):
    """Takes the time of every projection where it happens, between steps that have filled the caches."""

    seconds = 0.0

    def project(self) -> None:
        finish()
        began = time.monotonic()
        super().project()
        finish()
        TimedProjector.seconds += time.monotonic() - began


class Timed:
    """A training whose epochs are timed one by one, without what comes between them: validation and checkpoints."""

    def __init__(self, job: TrainJob, data: Dataset) -> None:
        self.wall = self.cpu = 0.0
        self._loop = Loop(task_of(job, data))
        self._loop.begin()

    def epoch(self, number: int) -> None:
        wall, cpu = time.monotonic(), time.process_time()
        self._loop.train_epoch(number)  # brings the loss to the host: a GPU has finished
        self.wall += time.monotonic() - wall
        self.cpu += time.process_time() - cpu


def finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def accuracy(net: Net, device: str, seeds: int) -> dict[str, Any]:
    """Accuracy on held-out digits, %, over seeds that draw split, start, order and keys: unmarked, and marked when."""
    percent: dict[str, list[float]] = {}
    marks: dict[str, list[dict[str, Any]]] = {}
    for seed in range(1, seeds + 1):
        data = load_data("digits", seed=seed)
        job = job_for(net.architecture, device, net.epochs, batch=64, rate=2e-3, seed=seed)
        plain = train(unmarked(job), data.train).best
        models = {"unmarked": copied(plain), "at the end": copied(plain)}
        for label, every in SCHEDULES.items():
            training.PROJECT_EVERY = every
            models[label] = copied(train(job, data.train).best)
        training.PROJECT_EVERY = PROJECT_EVERY
        for label, weights in models.items():
            if label != "unmarked":
                marks.setdefault(label, []).extend(mark(weights, job))
            right = predict(weights, net.architecture, data.test.x, device) == data.test.y
            percent.setdefault(label, []).append(100 * float(right.mean()))
    against = percent["unmarked"]
    found: dict[str, Any] = {}
    for label, row in percent.items():
        found[label] = {"mean": round(mean(row), 2), "sd": round(stdev(row), 2)}
        if label != "unmarked":
            gained = [marked - plain for marked, plain in zip(row, against, strict=True)]
            found[label] |= {
                "gain": round(mean(gained), 2),
                "standard_error": round(stdev(gained) / seeds**0.5, 2),
                "strength": round(mean(one["strength"] for one in marks[label]), 1),
                "bits_wrong": sum(one["bits_wrong"] for one in marks[label]),
            }
    return found


def copied(weights: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    return {name: np.array(tensor) for name, tensor in weights.items()}


def images(architecture: Architecture, samples: int) -> Dataset:
    """Random images whose class sets their mean."""
    random = np.random.default_rng(0)
    y = random.integers(0, architecture.classes, samples)
    x = random.standard_normal((samples, *architecture.input_shape), dtype=np.float32)
    x += (y[:, None, None, None] / 10).astype(np.float32)
    return Dataset(x, y)


def overhead(net: Net, device: str, repeats: int) -> dict[str, Any]:
    """Seconds an epoch, marked against unmarked."""
    data = load_data("digits").train if net.samples is None else images(net.architecture, net.samples)
    job = job_for(net.architecture, device, net.epochs, BATCH, rate=1e-3)
    return measure(job, data, repeats)


def measure(job: TrainJob, data: Dataset, repeats: int) -> dict[str, Any]:
    jobs = {"unmarked": unmarked(job), "marked": job}
    for variant in jobs.values():  # warms up allocator and kernels
        train(replace(variant, epochs=1), data)
    runs: dict[str, list[Timed]] = {label: [] for label in jobs}
    for _ in range(repeats):
        for label, variant in jobs.items():
            runs[label].append(Timed(variant, data))
        for epoch in range(job.epochs):
            for label in sorted(jobs, reverse=epoch % 2 == 0):
                runs[label][-1].epoch(epoch)
    pairs = list(zip(runs["marked"], runs["unmarked"], strict=True))
    training_samples = len(split(data, job.seed)[0].y)
    steps = -(-training_samples // min(job.batch, training_samples)) * job.epochs
    projections = -(-steps // PROJECT_EVERY)
    alone, spent = projections_timed(job, data)
    module = build(job.architecture).to(pick_device(job.device))
    weights = initial_weights(job.architecture, job.init_key)
    return {
        "parameters": parameters(job.architecture),
        "samples": len(data.y),
        "batch": job.batch,
        "steps": steps,
        "seconds_an_epoch": {
            label: round(median(run.wall for run in found) / job.epochs, 4) for label, found in runs.items()
        },
        "pairs": repeats,
        "marked_over_unmarked": spread([marked.wall / unmarked.wall for marked, unmarked in pairs]),
        "marked_over_unmarked_in_cpu_time": spread([marked.cpu / unmarked.cpu for marked, unmarked in pairs]),
        "projections": projections,
        "milliseconds_a_projection": round(1000 * spent / projections, 3),
        "projections_over_the_rest": round(spent / (alone.wall - spent), 4),
        "milliseconds_once": {
            "chips to the device": milliseconds(lambda: Projector(module, job.slot_keys, job.payloads)),
            "exact embedding": milliseconds(lambda: mark(weights, job)),
        },
    }


def projections_timed(job: TrainJob, data: Dataset) -> tuple[Timed, float]:
    """A whole marked training, and the seconds that its projections took."""
    TimedProjector.seconds = 0.0
    training.Projector = TimedProjector
    try:
        alone = Timed(job, data)
        for epoch in range(job.epochs):
            alone.epoch(epoch)
    finally:
        training.Projector = Projector
    return alone, TimedProjector.seconds


def spread(ratios: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = quantiles(ratios, n=4)
    return {"median": round(middle, 4), "from": round(low, 4), "to": round(high, 4)}


def milliseconds(work: Callable[[], object], repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        began = time.monotonic()
        work()
        times.append(time.monotonic() - began)
    return round(1000 * median(times), 3)


def larger(device: str, samples: int, epochs: int, repeats: int) -> dict[str, Any]:
    """A CNN of 4.6 million parameters: what marking costs, and whether device and numpy agree."""
    data = images(LARGER, samples)
    job = job_for(LARGER, device, epochs, batch=256, rate=1e-3)
    cost = measure(job, data, repeats)
    weights = copied(train(job, data).best)
    return cost | {
        "marks": mark(weights, job),
        "detection": compare_detection(weights, job, device),
        "projection": compare_projection(job, device),
        "predictions": compare_predictions(weights, data.x[:4096], device),
    }


def compare_detection(weights: dict[str, NDArray[np.float32]], job: TrainJob, device: str) -> dict[str, Any]:
    """Correlation and energy, by numpy and on the device, as integers."""
    rows = []
    for slot, (key, payload) in enumerate(zip(job.slot_keys, job.payloads, strict=True)):
        here = watermark.detect(weights, key, slot, payload)
        there = detect_in_torch(weights, key, slot, payload, pick_device(device))
        rows.append({"numpy": [here.correlation, here.energy], "device": list(there)})
    return {"slots": rows, "equal": all(row["numpy"] == row["device"] for row in rows)}


def detect_in_torch(
    weights: dict[str, NDArray[np.float32]], key: bytes, slot: int, payload: bytes, device: torch.device
) -> tuple[int, int]:
    """(correlation, energy) from the documentation, in int64 on the device."""
    parts = []
    for band in watermark.bands(watermark.shapes_of(weights), slot):
        flat = torch.from_numpy(weights[band.name]).to(device).flatten(1)
        values = flat[band.first : band.end, 1::2].flatten()
        absolute = values.abs()
        absolute = absolute[absolute > 0].sort().values
        median = absolute[(len(absolute) - 1) // 2].double()
        scaled = (values.double() * watermark.QUANTUM / median).round()
        parts.append(scaled.clamp(-watermark.CLIP, watermark.CLIP).long())
    quantised = torch.cat(parts)
    n, _ = watermark.strengths(len(quantised))
    signs = watermark.chips(key, len(quantised)).astype(np.int64)
    signs *= np.resize(watermark.payload_bits(payload, n), len(signs))
    product = quantised * torch.from_numpy(signs).to(device)
    return int(product.sum()), int((quantised * quantised).sum())


def compare_projection(job: TrainJob, device: str) -> dict[str, float]:
    """A projection on the device against numpy's: difference relative to the change; milliseconds in warm caches."""
    start = initial_weights(job.architecture, job.init_key)
    weights = {name: tensor.copy() for name, tensor in start.items()}
    module = build(job.architecture).to(pick_device(device))
    load_weights(module, weights)
    projector = Projector(module, job.slot_keys, job.payloads)
    projector.project()
    found = weights_of(module)
    mark(weights, job)
    difference = sum(float(np.square(found[name] - tensor).sum()) for name, tensor in weights.items())
    change = sum(float(np.square(start[name] - tensor).sum()) for name, tensor in weights.items())

    def project() -> None:
        projector.project()
        finish()

    return {"relative_difference": round((difference / change) ** 0.5, 6), "milliseconds": milliseconds(project, 21)}


def compare_predictions(weights: dict[str, NDArray[np.float32]], x: NDArray[np.float32], device: str) -> dict[str, int]:
    """Samples on which the device and the CPU choose different classes."""
    differing = predict(weights, LARGER, x, device) != predict(weights, LARGER, x, "cpu")
    return {"samples": len(x), "differing": int(differing.sum())}


def largest_slot() -> dict[str, float]:
    """Seconds to read one slot of 2^24 carriers with numpy."""
    weights = {"w": np.random.default_rng(0).standard_normal((8192, 16384), dtype=np.float32)}
    began = time.monotonic()
    found = watermark.detect(weights, bytes(32), 0, bytes(32))
    seconds = time.monotonic() - began
    return {"carriers": watermark.MAX_CARRIERS, "seconds": round(seconds, 3), "strength": round(found.strength, 2)}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cpu")
    parser.add_argument("--seeds", type=int, default=10, help="trainings of each digits net, to compare accuracy")
    parser.add_argument("--samples", type=int, help="samples of the larger net (20000 on cuda, 1500 on cpu)")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of the larger net")
    parser.add_argument("--repeats", type=int, default=9, help="pairs of a marked and an unmarked training")
    options = parser.parse_args()
    samples = options.samples or (20_000 if options.device == "cuda" else 1_500)
    found = {
        "device": describe_device(pick_device(options.device)),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "accuracy": {
            name: accuracy(net, options.device, options.seeds) for name, net in NETS.items() if net.samples is None
        },
        "overhead": {name: overhead(net, options.device, options.repeats) for name, net in NETS.items()},
        "larger": larger(options.device, samples, options.epochs, max(3, options.repeats // 3)),
        "largest_slot": largest_slot(),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

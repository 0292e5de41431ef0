"""What a training device is worth, and whether it tells the truth: one JSON object on standard output.

    python bench/ml_device.py --device cuda        (or cpu; --samples and --epochs set the size of the larger net)

Marked and unmarked training alternate in one process, so their ratio is fair. Detection is computed by numpy and, in
int64, by torch on the device, and must agree in every digit; predictions are compared sample by sample.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dlbc.adapters.ml.checkpoint import Checkpoint
from dlbc.adapters.ml.datasets import load_data
from dlbc.adapters.ml.embed import Projector
from dlbc.adapters.ml.evaluate import describe_device, pick_device, predict
from dlbc.adapters.ml.families import build, initial_weights, load_weights, weights_of
from dlbc.adapters.ml.training import Run, mark, split
from dlbc.core import watermark
from dlbc.core.architecture import Architecture, parameters, tensor_shapes
from dlbc.core.types import Address
from dlbc.ports import Dataset, TrainJob
from numpy.typing import NDArray

DIGITS = {
    "mlp": Architecture("mlp", (1, 8, 8), 10, (512, 256)),
    "cnn": Architecture("cnn", (1, 8, 8), 10, (128,), (32, 64)),
}
LARGER = Architecture("cnn", (3, 32, 32), 10, (1024,), (64, 128, 256))
ACCOUNT = Address("0x" + "11" * 20)


class Quiet:
    """Reports that go nowhere."""

    def is_due(self) -> bool:
        return False

    def tell(self, **changes: object) -> None:
        pass


def job_for(architecture: Architecture, device: str, epochs: int, batch: int, rate: float) -> TrainJob:
    slots = watermark.slot_count(tensor_shapes(architecture))
    return TrainJob(
        work=Path(tempfile.mkdtemp(prefix="dlbc-bench-")),
        architecture=architecture,
        shards=(),
        epochs=epochs,
        batch=batch,
        learning_rate=rate,
        device=device,
        seed=1,
        init_key=b"\x01" * 32,
        slot_keys=tuple(bytes([slot + 2]) * 32 for slot in range(slots)),
        payloads=tuple(watermark.payload(31337, ACCOUNT, 1, 0, ACCOUNT, slot) for slot in range(slots)),
    )


def train(job: TrainJob, data: Dataset) -> Checkpoint:
    start = initial_weights(job.architecture, job.init_key)
    run = Run(job, pick_device(job.device), *split(data, job.seed), Quiet())
    return run.to_the_end(Checkpoint("bench", weights=start, best=start))


def digits(device: str) -> dict[str, Any]:
    data = load_data("digits", seed=0)
    found: dict[str, Any] = {}
    for name, architecture in DIGITS.items():
        job = job_for(architecture, device, epochs=20, batch=64, rate=2e-3)
        for label, variant in (("unmarked", replace(job, slot_keys=(), payloads=())), ("marked", job)):
            state = train(variant, data.train)
            weights = {name: np.array(tensor) for name, tensor in state.best.items()}
            marks = mark(weights, variant)
            right = predict(weights, architecture, data.test.x, device) == data.test.y
            found[f"{name} {label}"] = {
                "accuracy": round(float(right.mean()), 4),
                "seconds": round(state.seconds, 2),
                "marks": marks,
            }
    return found


def larger(device: str, samples: int, epochs: int, repeats: int) -> dict[str, Any]:
    """A CNN on random images whose class sets their mean: seconds an epoch, marked against unmarked."""
    random = np.random.default_rng(0)
    y = random.integers(0, LARGER.classes, samples)
    x = random.standard_normal((samples, *LARGER.input_shape), dtype=np.float32)
    x += (y[:, None, None, None] / 10).astype(np.float32)
    data = Dataset(x, y)
    job = job_for(LARGER, device, epochs, batch=256, rate=1e-3)
    plain = replace(job, slot_keys=(), payloads=())
    train(replace(plain, epochs=1), data)  # warms up allocator and kernels
    seconds: dict[str, list[float]] = {"unmarked": [], "marked": []}
    for _ in range(repeats):
        seconds["unmarked"].append(train(plain, data).seconds / epochs)
        state = train(job, data)
        seconds["marked"].append(state.seconds / epochs)
    weights = {name: np.array(tensor) for name, tensor in state.best.items()}
    fastest = {label: min(times) for label, times in seconds.items()}  # what other processes disturbed least
    return {
        "parameters": parameters(LARGER),
        "samples": samples,
        "seconds_an_epoch": {label: [round(value, 3) for value in times] for label, times in seconds.items()},
        "marked_over_unmarked": round(fastest["marked"] / fastest["unmarked"], 3),
        "marks": mark(weights, job),
        "detection": compare_detection(weights, job, device),
        "projection": compare_projection(job, device),
        "predictions": compare_predictions(weights, x[:4096], device),
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
    """Largest difference between a projection on the device and in numpy, relative to the largest weight."""
    weights = initial_weights(job.architecture, job.init_key)
    module = build(job.architecture).to(pick_device(device))
    load_weights(module, weights)
    projector = Projector(module, job.slot_keys, job.payloads)
    projector.project()
    found = weights_of(module)
    mark(weights, job)
    difference = max(
        float(np.abs(found[name] - tensor).max() / max(np.abs(tensor).max(), 1e-30)) for name, tensor in weights.items()
    )
    began = time.monotonic()
    for _ in range(20):
        projector.project()
    if device == "cuda":
        torch.cuda.synchronize()
    return {"largest_difference": difference, "milliseconds": round((time.monotonic() - began) * 50, 3)}


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), required=True)
    parser.add_argument("--samples", type=int, help="samples of the larger net (20000 on cuda, 1500 on cpu)")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    samples = options.samples or (20_000 if options.device == "cuda" else 1_500)
    found = {
        "device": describe_device(pick_device(options.device)),
        "torch": torch.__version__,
        "digits": digits(options.device),
        "larger": larger(options.device, samples, options.epochs, options.repeats),
        "largest_slot": largest_slot(),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

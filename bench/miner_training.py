"""How fast a miner trains, against a plain PyTorch loop: `python bench/miner_training.py`.

For every family two trainings take turns, epoch by epoch, in one process: the client's own (marked, validated,
checkpointed, time-boxed, as `dlbc miner run` does it) and one as everybody writes it by hand, with the same model,
batch size, optimiser, schedule, precision and validation, and nothing else. What counts is processor time, which other
work on the machine does not take, though it takes their caches. Turns of some seconds give a ratio each, above 1 if the
client's is the faster; the table has the median and the quartiles. `--device cuda` measures wall time instead, with the
device idle before each reading, and adds a plain loop in float32. Writes bench/results/miner_training.json when all
families are measured.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil, cos, inf, pi
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch
from _help import parser_of
from dlbc.adapters.ml import training
from dlbc.adapters.ml.evaluate import describe_device, pick_device
from dlbc.adapters.ml.families import build, initial_weights, load_weights
from dlbc.adapters.ml.loop import Loop
from dlbc.adapters.ml.precision import fast_dtype, mixed_precision
from dlbc.adapters.ml.task import Recipe, TrainingTask
from dlbc.core import watermark
from dlbc.core.architecture import Architecture, flops_per_sample, parameters, tensor_shapes
from dlbc.core.types import Address
from dlbc.ports import Dataset, TrainJob
from torch.nn import functional

RESULTS = Path(__file__).resolve().parent / "results" / "miner_training.json"
ACCOUNT = Address("0x" + "11" * 20)
ASKED = 0.97
TRAINING_PASSES = 3
FAMILIES = {
    "mlp": Architecture("mlp", (1, 28, 28), 10, (512, 256)),
    "cnn": Architecture("cnn", (1, 28, 28), 10, (128,), (32, 64)),
    "resnet": Architecture("resnet", (3, 16, 16), 10, (), (32, 64), (1, 1)),
    "transformer": Architecture("transformer", (1, 28, 28), 10, (), width=128, heads=4, layers=2),
}
BATCH = 128
EPOCHS = 100_000
"""Of the schedule, which no reading comes to the end of."""
READING_SECONDS = 2.0
RATE = 1e-3


class Quiet:
    """Reports twice a second, as the miner's go to a file; here nowhere."""

    def __init__(self) -> None:
        self._next = 0.0

    def is_due(self) -> bool:
        return time.monotonic() >= self._next

    def tell(self, **changes: object) -> None:
        self._next = time.monotonic() + 0.5


def images(architecture: Architecture, samples: int) -> Dataset:
    """Random images whose class sets their mean."""
    random = np.random.default_rng(0)
    y = random.integers(0, architecture.classes, samples)
    x = random.standard_normal((samples, *architecture.input_shape), dtype=np.float32)
    x += (y.reshape(-1, *(1 for _ in architecture.input_shape)) / 10).astype(np.float32)
    return Dataset(x, y)


def job_for(architecture: Architecture, device: str, epochs: int, work: Path) -> TrainJob:
    """A miner's job, with a mark in every slot."""
    slots = watermark.slot_count(tensor_shapes(architecture))
    return TrainJob(
        work=work,
        architecture=architecture,
        shards=(),
        epochs=epochs,
        batch=BATCH,
        learning_rate=RATE,
        device=device,
        seed=1,
        init_key=bytes(32),
        slot_keys=tuple(bytes([1, slot + 2]) * 16 for slot in range(slots)),
        payloads=tuple(watermark.payload(31337, ACCOUNT, 1, 0, ACCOUNT, slot) for slot in range(slots)),
    )


class Ours:
    """The client's loop, one epoch at a time: steps, marks, looks at the clock, validation, checkpoint."""

    def __init__(self, job: TrainJob, data: Dataset) -> None:
        parts = training.split(data, job.seed)
        task = TrainingTask(
            architecture=job.architecture,
            training=parts[0],
            validation=parts[1],
            device=pick_device(job.device),
            start=initial_weights(job.architecture, job.init_key),
            recipe=Recipe(job.epochs, job.batch, job.learning_rate),
            seed=job.seed,
            work=job.work,
            reports=Quiet(),
            deadline=time.monotonic() + 1e6,
            marker=training.marker_of(job),
        )
        loop = Loop(task)
        self._epochs = loop.epochs(loop.begin())

    def epoch(self) -> None:
        next(self._epochs)


class Plain:
    """What is written by hand: tensors, a module, AdamW, a permutation an epoch, a schedule, validation."""

    def __init__(self, job: TrainJob, data: Dataset, dtype: torch.dtype | None, *, fused: bool = True) -> None:
        fit, held = training.split(data, job.seed)
        self._device = pick_device(job.device)
        self._x, self._y = (torch.from_numpy(part).to(self._device) for part in (fit.x, fit.y))
        self._held_x, self._held_y = (torch.from_numpy(part).to(self._device) for part in (held.x, held.y))
        self._module = build(job.architecture)
        load_weights(self._module, initial_weights(job.architecture, job.init_key))
        self._module.to(self._device)
        self._optimizer = torch.optim.AdamW(self._module.parameters(), lr=job.learning_rate, fused=fused or None)
        steps = job.epochs * -(-len(self._y) // job.batch)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, lambda step: one_cycle(step / steps))
        self._batch, self._dtype = job.batch, dtype

    def epoch(self) -> None:
        self._module.train()
        total = 0.0
        for index in torch.randperm(len(self._y), device=self._device).split(self._batch):
            self._optimizer.zero_grad()
            with mixed_precision(self._device, self._dtype):
                loss = functional.cross_entropy(self._module(self._x[index]), self._y[index])
            loss.backward()
            self._optimizer.step()
            self._schedule.step()
            total += loss.detach()
        float(total)
        self._module.eval()
        with torch.no_grad():
            right = 0
            for start in range(0, len(self._held_y), 1024):
                found = self._module(self._held_x[start : start + 1024]).argmax(1)
                right += int((found == self._held_y[start : start + 1024]).sum())


def one_cycle(share: float) -> float:
    """As the client's, in a line."""
    return 0.1 + 3.6 * share if share < 0.25 else 0.001 + 0.999 * (1 + cos(pi * (share - 0.25) / 0.75)) / 2


def measure(architecture: Architecture, device: str, samples: int, pairs: int) -> dict[str, Any]:
    """Samples a second and ratios of one family."""
    data = images(architecture, samples)
    place = pick_device(device)
    dtype = fast_dtype(architecture, place)
    with tempfile.TemporaryDirectory(prefix="dlbc-bench-") as work:
        job = job_for(architecture, device, EPOCHS, Path(work))
        loops: dict[str, Ours | Plain] = {"ours": Ours(job, data), "plain": Plain(job, data, dtype)}
        if place.type == "cuda":
            loops["float32"] = Plain(job, data, None, fused=False)
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for loop in loops.values():
            loop.epoch()  # warms up
        epochs = ceil(READING_SECONDS / timed(loops["plain"].epoch, place))
        for _ in range(pairs):
            for each in seconds.values():
                each.append(0.0)
            for epoch in range(epochs):
                for name in sorted(loops, reverse=epoch % 2 == 0):
                    seconds[name][-1] += timed(loops[name].epoch, place)
    trained = epochs * len(training.split(data, job.seed)[0].y)
    rate = {name: trained / median(each) for name, each in seconds.items()}
    found = {
        "parameters": parameters(architecture),
        "precision": "float32" if dtype is None else "bfloat16",
        "samples_a_second": {name: round(each) for name, each in rate.items()},
        "gigaflops": round(TRAINING_PASSES * flops_per_sample(architecture) * rate["ours"] / 1e9, 1),
        "over_plain": spread([plain / ours for plain, ours in zip(seconds["plain"], seconds["ours"], strict=True)]),
    }
    if "float32" in seconds:
        pairs_of = zip(seconds["float32"], seconds["ours"], strict=True)
        found["over_float32"] = spread([plain / ours for plain, ours in pairs_of])
    return found


def timed(work: Callable[[], None], place: torch.device) -> float:
    """Processor seconds of all threads; on a GPU seconds of the clock on the wall."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)
        began = time.monotonic()
        work()
        torch.cuda.synchronize(place)
        return time.monotonic() - began
    began = time.process_time()
    work()
    return time.process_time() - began


def spread(ratios: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return {"median": round(middle, 3), "from": round(low, 3), "to": round(high, 3)}


def main() -> int:
    """Exit code 1 if a family is below what was asked."""
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--families", nargs="+", choices=sorted(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--samples", type=int, default=6_000, help="random images, of which a tenth validates")
    parser.add_argument("--pairs", type=int, default=15, help="readings of each loop")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows: dict[str, Any] = {}
    print(f"{'family':12} {'ours/s':>9} {'plain/s':>9} {'ratio':>7} {'from':>7} {'to':>7}")
    for name in options.families:
        rows[name] = row = measure(FAMILIES[name], options.device, options.samples, options.pairs)
        rate, ratio = row["samples_a_second"], row["over_plain"]
        numbers = f"{ratio['median']:7.3f} {ratio['from']:7.3f} {ratio['to']:7.3f}"
        print(f"{name:12} {rate['ours']:9} {rate['plain']:9} {numbers}", flush=True)
    lowest = min((row["over_plain"]["median"] for row in rows.values()), default=inf)
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python bench/miner_training.py {' '.join(sys.argv[1:])}".strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "device": describe_device(pick_device(options.device)),
        "torch": torch.__version__,
        "batch": BATCH,
        "samples": options.samples,
        "pairs": options.pairs,
        "families": rows,
        "asked": ASKED,
        "lowest": lowest,
        "passed": lowest >= ASKED,
    }
    if set(rows) == set(FAMILIES):
        options.output.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())

"""How much two machines may disagree about a model: `dlbc bench agreement` writes bench/results/agreement.json.

One model of each family is trained for a short while on Fashion-MNIST and scores its 10,000 test samples in many ways
that are all right: in other batches, threads, memory formats and libraries, in float64, and on a GPU where there is
one; and in two that the evaluator rules out, with operands rounded to TF32 as a GPU's matrix units do, and in
bfloat16. Each is compared with the pinned evaluator, sample by sample: how many classes differ (a claim may differ in
`tolerance` of them), how many of those contradict a claim decisively (one of which strikes it, so there must be
none), and by how much logits differ at most, as a share of their range, of which the decisive share is 0.001.

`--quick` takes the digits; its results go to bench/results/quick. A decisive contradiction between right ways makes the
exit code 1.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _help import parser_of
from dlbc.adapters.ml.datasets import TaskData, load_data
from dlbc.adapters.ml.evaluate import BATCH, _float32, logits
from dlbc.adapters.ml.families import build, initial_weights, load_weights, weights_of
from dlbc.core.architecture import Architecture
from dlbc.core.scoring import DECISIVE_SHARE, decisive
from numpy.typing import NDArray
from torch import nn

RESULTS = Path(__file__).resolve().parent / "results"
Floats = NDArray[np.float32]
Scoring = Callable[[dict[str, Any], Architecture, Floats], Floats]
DEFAULT_TOLERANCE_PPM = 2_000
RULED_OUT = ("operands rounded to TF32", "bfloat16", "GPU, TF32")

FASHION = {
    "mlp": Architecture("mlp", (1, 28, 28), 10, (512, 256)),
    "cnn": Architecture("cnn", (1, 28, 28), 10, (128,), (32, 64)),
    "resnet": Architecture("resnet", (1, 28, 28), 10, (), channels=(16, 32, 64), blocks=(1, 1, 1)),
    "transformer": Architecture("transformer", (1, 28, 28), 10, (), width=64, heads=4, layers=2),
}
DIGITS = {
    "mlp": Architecture("mlp", (1, 8, 8), 10, (512, 256)),
    "cnn": Architecture("cnn", (1, 8, 8), 10, (128,), (32, 64)),
}


def main() -> int:
    """Trains, scores, prints, writes; returns the exit code."""
    parser = parser_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="digits, two families")
    options = parser.parse_args()
    data = load_data("digits" if options.quick else "fashion-mnist")
    found = {}
    for name, architecture in (DIGITS if options.quick else FASHION).items():
        found[name] = compare(architecture, data, 2_000 if options.quick else 12_000)
        print(json.dumps({name: found[name]}), flush=True)
    write(found, RESULTS / "quick" if options.quick else RESULTS)
    bad = [
        f"{name}, {way}"
        for name, rows in found.items()
        for way, row in rows["ways"].items()
        if row["decisive"] and way not in RULED_OUT
    ]
    for one in bad:
        print(f"agreement: {one}: a decisive contradiction between two ways of scoring one model", file=sys.stderr)
    return 1 if bad else 0


def compare(architecture: Architecture, data: TaskData, samples: int) -> dict[str, Any]:
    """One family: what every way of scoring says against the pinned evaluator."""
    weights, x, y = trained(architecture, data, samples), data.test.x, data.test.y
    pinned = logits(weights, architecture, x)
    classes = pinned.argmax(1)
    spread = pinned.max(1) - pinned.min(1)
    sorted_ = np.sort(pinned, axis=1)
    close = (sorted_[:, -1] - sorted_[:, -2]) <= DECISIVE_SHARE * spread
    rows = {}
    for way, scoring in ways().items():
        other = scoring(weights, architecture, x)
        differs = other.argmax(1) != classes
        rows[way] = {
            "differ": int(differs.sum()),
            "differ_ppm": round(1e6 * float(differs.mean())),
            # either of the two may be the claim, the other one the audit
            "decisive": int(decisive(other, classes).sum() + decisive(pinned, other.argmax(1)).sum()),
            "most_logits_differ": float(f"{(np.abs(other - pinned).max(1) / spread).max():.2e}"),
        }
    return {
        "samples": len(x),
        "accuracy": round(float((classes == y).mean()), 4),
        "near_ties": int(close.sum()),
        "tolerance_ppm": DEFAULT_TOLERANCE_PPM,
        "ways": rows,
    }


def trained(architecture: Architecture, data: TaskData, samples: int) -> dict[str, Any]:
    """After one pass over so many samples: undecided models have more near-ties than good ones."""
    torch.manual_seed(0)
    module = build(architecture)
    load_weights(module, initial_weights(architecture, b"agreement"))
    module.train()
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3)
    x, y = torch.from_numpy(data.train.x[:samples]), torch.from_numpy(data.train.y[:samples])
    for start in range(0, len(x), 128):
        loss = nn.functional.cross_entropy(module(x[start : start + 128]), y[start : start + 128])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weights_of(module)


# ------------------------------------------------------------------ ways to score


def ways() -> dict[str, Scoring]:
    """By name; those of a GPU only where there is one."""
    found: dict[str, Scoring] = {
        "again": logits,
        "batches of 16": lambda *given: evaluated(*given, batch=16),
        "batches of 1000": lambda *given: evaluated(*given, batch=1_000),
        "one thread": one_thread,
        "without oneDNN": lambda *given: evaluated(*given, around=torch.backends.mkldnn.flags(enabled=False)),
        "channels last": lambda *given: evaluated(*given, channels_last=True),
        "fused attention": lambda *given: evaluated(*given, is_pinned=False),
        "float64": lambda *given: evaluated(*given, dtype=torch.float64),
        "operands rounded to TF32": lambda *given: evaluated(*given, around=rounded(13)),
        "bfloat16": lambda *given: evaluated(*given, around=torch.autocast("cpu", torch.bfloat16)),
    }
    if torch.cuda.is_available():
        found |= {
            f"GPU ({torch.cuda.get_device_name()})": lambda *given: logits(*given, "cuda"),
            "GPU, TF32": gpu_tf32,
        }
    return found


def evaluated(
    weights: dict[str, Any],
    architecture: Architecture,
    x: Floats,
    *,
    batch: int = BATCH,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    is_pinned: bool = True,
    around: Any = None,
    device: str = "cpu",
) -> Floats:
    """Logits, [n, classes], of the same module in another setting."""
    module = build(architecture)
    load_weights(module, weights)
    module.eval().to(device, dtype)
    if channels_last:
        module.to(memory_format=torch.channels_last)
    found = []
    with torch.inference_mode(), _float32() if is_pinned else nullcontext(), around or nullcontext():
        for start in range(0, len(x), batch):
            part = torch.from_numpy(x[start : start + batch]).to(device, dtype)
            if channels_last and part.ndim == 4:
                part = part.contiguous(memory_format=torch.channels_last)
            found.append(module(part).float().cpu().numpy())
    return np.concatenate(found)


def one_thread(weights: dict[str, Any], architecture: Architecture, x: Floats) -> Floats:
    """Sums are split among threads, and then added up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return logits(weights, architecture, x)
    finally:
        torch.set_num_threads(before)


def gpu_tf32(weights: dict[str, Any], architecture: Architecture, x: Floats) -> Floats:
    """What a GPU does if nobody forbids it."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        return evaluated(weights, architecture, x, is_pinned=False, device="cuda")
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


class rounded(torch.overrides.TorchFunctionMode):  # noqa: N801  # used like a function
    """Operands of matrix products and convolutions lose their last `bits` bits of 23, to the nearest.

    TF32 keeps ten: NVIDIA, A100 Tensor Core GPU Architecture (2020).
    """

    _PRODUCTS = ("linear", "matmul", "conv2d", "bmm", "addmm", "__matmul__", "scaled_dot_product_attention")

    def __init__(self, bits: int) -> None:
        super().__init__()
        self._bits = bits

    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        if getattr(function, "__name__", "") in self._PRODUCTS:
            given = tuple(self._rounded(value) for value in given)
        return function(*given, **(named or {}))

    def _rounded(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
            return value
        bits = value.contiguous().view(torch.int32)
        half, mask = 1 << (self._bits - 1), -(1 << self._bits)
        return ((bits + half) & mask).view(torch.float32)


def write(found: dict[str, Any], folder: Path) -> None:
    """agreement.json."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "decisive_share": DECISIVE_SHARE,
    }
    (folder / "agreement.json").write_text(json.dumps(told | {"families": found}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())

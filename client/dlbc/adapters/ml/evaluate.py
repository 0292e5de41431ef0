"""The pinned evaluator: what a model predicts, the same way for every miner and auditor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dlbc.adapters.ml.families import build, load_weights
from dlbc.core.architecture import Architecture, activations, logits_shape
from dlbc.core.devices import members
from dlbc.core.errors import Usage

BATCH = 256
MAX_BATCH_VALUES = 2**28
"""Of a batch in one layer, 1 GiB: models with large images are evaluated in smaller batches, the same everywhere."""


def pick_device(wanted: str) -> torch.device:
    """ "auto" is CUDA where there is one, else the CPU; "cuda:1" is the second of several; of a group, the first.

    Raises Usage for one that is asked for and absent.
    """
    wanted = members(wanted)[0]
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d{1,3}))?", wanted)
    if match is None:
        raise Usage(f"device: expected auto, cuda, cuda:N or cpu, found {wanted[:20]!r}")
    available = torch.cuda.is_available()
    if not available and wanted.startswith("cuda"):
        raise Usage(f"device: {wanted} was asked for, this machine offers none; use --device cpu or auto")
    if match[1] is not None and int(match[1]) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise Usage(f"device: {wanted} was asked for, the last one of this machine is cuda:{last}")
    return torch.device("cuda" if available and wanted == "auto" else wanted.replace("auto", "cpu"))


def describe_device(device: torch.device) -> str:
    """For people, e.g. "cuda (NVIDIA H200)" or "cpu (2 threads)"."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"


def predict(
    weights: Mapping[str, Any], architecture: Architecture, x: NDArray[np.float32], device: str = "cpu"
) -> NDArray[np.int64]:
    """Top-1 classes, int64 [n], or [n, height, width] of a family that gives every pixel one.

    float32 throughout, batches in order, running statistics in every norm, the lowest class among equals.
    """
    classes = np.empty((len(x), *logits_shape(architecture)[1:]), np.int64)
    for start, values in _evaluate(weights, architecture, x, device):
        classes[start : start + len(values)] = values.argmax(1)
    return classes


def logits(
    weights: Mapping[str, Any], architecture: Architecture, x: NDArray[np.float32], device: str = "cpu"
) -> NDArray[np.float32]:
    """What `predict` takes the largest of, float32 [n, classes] or [n, classes, height, width]."""
    found = np.empty((len(x), *logits_shape(architecture)), np.float32)
    for start, values in _evaluate(weights, architecture, x, device):
        found[start : start + len(values)] = values
    return found


def _evaluate(
    weights: Mapping[str, Any], architecture: Architecture, x: NDArray[np.float32], device: str
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(index of the first sample, logits) of each batch."""
    place = pick_device(device)
    module = build(architecture)
    load_weights(module, weights)
    size = batch_size(architecture)
    starts = range(0, len(x), size)
    batches = (np.array(x[start : start + size], np.float32) for start in starts)
    yield from zip(starts, evaluate(module, batches, place), strict=True)


def evaluate(
    module: nn.Module, batches: Iterable[NDArray[np.float32]], place: torch.device
) -> Iterator[NDArray[np.float32]]:
    """The logits of each batch. Batches are writable, and of `batch_size` samples but for the last."""
    module.eval().to(place)
    with torch.inference_mode(), _float32():
        for batch in batches:
            yield module(torch.from_numpy(batch).to(place)).cpu().numpy()


def batch_size(architecture: Architecture) -> int:
    """Samples evaluated at once: 256, fewer where they would not fit into MAX_BATCH_VALUES."""
    return min(BATCH, max(1, MAX_BATCH_VALUES // activations(architecture)))


@contextmanager
def _float32() -> Iterator[None]:
    """No TF32 in convolutions, no algorithm chosen by timing, attention as plain products.

    Matrix products are float32 by default.
    """
    plain = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with plain, sdpa_kernel(SDPBackend.MATH):
        yield

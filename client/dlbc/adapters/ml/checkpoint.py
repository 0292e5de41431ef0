"""Where training can go on after a kill: weights, the best so far and Adam's averages, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.adapters.ml.files import read_limited, replacing
from dlbc.adapters.ml.plan import Plan
from dlbc.adapters.ml.tensors import MAX_HEADER, read_tensors
from dlbc.core.architecture import Architecture, parameter_shapes, stored_values, tensor_shapes
from dlbc.core.errors import VerificationFailed

FILE = "checkpoint.safetensors"
PARTS = ("weights", "best", "first", "second")
MOMENTS = ("first", "second")
"""Parts that have only what is trained: a BatchNorm's running statistics have no moments."""
COUNTS = ("epoch", "step", "micro_batch", "validation_ppm", "stalled", "seconds")

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State after `step` optimiser steps, at an epoch's end.

    `fingerprint` names the job: a checkpoint of another one is not resumed.
    """

    fingerprint: str
    plan: Plan
    epoch: int = 0
    step: int = 0
    micro_batch: int | None = None  # what memory was found to hold; None: whole batches
    validation_ppm: int | None = None
    stalled: int = 0  # epochs since validation was last better than ever
    seconds: float = 0.0
    weights: Tensors = field(default_factory=dict)
    best: Tensors = field(default_factory=dict)
    first: Tensors = field(default_factory=dict)
    second: Tensors = field(default_factory=dict)


def save_checkpoint(work: Path, state: Checkpoint) -> None:
    """Replaces the folder's checkpoint; a kill at any moment leaves the old or the new one."""
    from safetensors.numpy import save_file

    tensors = {f"{part}/{name}": tensor for part in PARTS for name, tensor in getattr(state, part).items()}
    about = {"fingerprint": state.fingerprint, "plan": asdict(state.plan)}
    about |= {name: getattr(state, name) for name in COUNTS}
    with replacing(work / FILE) as draft:
        save_file(tensors, draft, {"dlbc": json.dumps(about)})


def load_checkpoint(work: Path, architecture: Architecture, fingerprint: str) -> Checkpoint | None:
    """The checkpoint of exactly this job, or None: absent, damaged or another job's, training starts afresh."""
    path = work / FILE
    if not path.is_file():
        return None
    stored, trained = tensor_shapes(architecture), parameter_shapes(architecture)
    shapes = {part: trained if part in MOMENTS else stored for part in PARTS}
    expected = {f"{part}/{name}": ("F32", shape) for part in PARTS for name, shape in shapes[part].items()}
    try:
        data = read_limited(path, 16 * stored_values(architecture) + 8 + MAX_HEADER, "checkpoint", VerificationFailed)
        tensors, metadata = read_tensors(data, expected, what="checkpoint", refuse=VerificationFailed)
        about = json.loads(metadata.get("dlbc", "{}"))
    except (VerificationFailed, ValueError):
        return None
    if about.get("fingerprint") != fingerprint:
        return None
    parts: dict[str, Any] = {part: {name: tensors[f"{part}/{name}"] for name in shapes[part]} for part in PARTS}
    counts: dict[str, Any] = {name: about[name] for name in COUNTS}
    return Checkpoint(fingerprint, Plan(**about["plan"]), **counts, **parts)

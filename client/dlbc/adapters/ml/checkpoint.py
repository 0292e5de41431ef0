"""Where training can go on after a kill: weights, the best so far and Adam's averages, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlbc.adapters.ml.files import read_limited, replacing
from dlbc.adapters.ml.tensors import MAX_HEADER, read_tensors
from dlbc.core.architecture import Architecture, parameter_shapes, stored_values, tensor_shapes
from dlbc.core.errors import VerificationFailed

FILE = "checkpoint.safetensors"
PARTS = ("weights", "best", "first", "second")
MOMENTS = ("first", "second")
"""Parts that have only what is trained: a BatchNorm's running statistics have no moments."""

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State after `epoch` whole epochs. `fingerprint` names the job: a checkpoint of another one is not resumed."""

    fingerprint: str
    epoch: int = 0
    validation_ppm: int | None = None
    seconds: float = 0.0
    weights: Tensors = field(default_factory=dict)
    best: Tensors = field(default_factory=dict)
    first: Tensors = field(default_factory=dict)
    second: Tensors = field(default_factory=dict)


def save_checkpoint(work: Path, state: Checkpoint) -> None:
    """Replaces the folder's checkpoint; a kill at any moment leaves the old or the new one."""
    from safetensors.numpy import save_file

    tensors = {f"{part}/{name}": tensor for part in PARTS for name, tensor in getattr(state, part).items()}
    about = {
        "fingerprint": state.fingerprint,
        "epoch": state.epoch,
        "validation_ppm": state.validation_ppm,
        "seconds": state.seconds,
    }
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
    return Checkpoint(
        fingerprint=fingerprint,
        epoch=about["epoch"],
        validation_ppm=about["validation_ppm"],
        seconds=about["seconds"],
        **{part: {name: tensors[f"{part}/{name}"] for name in shapes[part]} for part in PARTS},
    )

"""Training in a child process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dlbc.core.architecture import Architecture
from dlbc.ports.data import Dataset
from dlbc.ports.scoring import Scorer


@dataclass(frozen=True, slots=True)
class TrainJob:
    """What the training child process needs; it is written to `work` as JSON, never pickled.

    shards: paths of verified safetensors shards with tensors x and y. The child splits off its own validation
    part, trains, embeds the watermark of every slot, and writes model.safetensors, progress.json and result.json
    into `work`, each by rename. A rerun in the same folder resumes from its last checkpoint, with the budget it is
    given now.
    """

    work: Path
    architecture: Architecture
    shards: tuple[Path, ...]
    epochs: int
    batch: int
    learning_rate: float
    device: str  # "auto", "cuda", "cuda:N", "cpu", or a group that trains together: "cuda:0+cuda:1", "cpu+cpu"
    seed: int
    init_key: bytes = field(repr=False)  # seeds the weight initialisation (32 bytes; secret)
    slot_keys: tuple[bytes, ...] = field(repr=False)  # 32 bytes each; secret
    payloads: tuple[bytes, ...]  # per slot: 32 bytes, the bits to embed (core.watermark.payload)
    start: Path | None = None  # safetensors of this architecture to go on from; None: random weights by init_key
    budget: float | None = None  # seconds from start() to the model; None: as long as the epochs take
    patience: int | None = None  # epochs after the warm-up without a better validation that end it; None: never
    deterministic: bool = False  # the same bytes from the same job on the same machine, on CUDA too
    strategy: str = "default"  # "default", "search" or "module:Class" of the operator's own


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """Where the child is; epoch counts from 0 to epochs. Reads are cheap."""

    state: str  # "starting", "training", "done", "failed"
    epoch: int
    epochs: int
    loss: float | None
    validation_ppm: int | None  # best validation accuracy so far, ppm
    message: str = ""
    may_resume: bool = False  # it was ended from outside; started again it goes on from its checkpoint


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training."""

    model: Path  # safetensors
    model_bytes: int
    validation_ppm: int
    epochs: int  # trained, which may be fewer than were asked for
    seconds: float
    device: str


class TrainHandle(Protocol):
    """One training child process."""

    def poll(self) -> TrainProgress:
        """Raises OSError if it ended for want of what the machine may have again; started again, it goes on."""
        ...

    def result(self) -> TrainResult:
        """Raises Refused with the child's last words if it failed or is not done."""
        ...

    def kill(self) -> None:
        """Ends the child; the work folder stays and can be resumed."""
        ...


class Trainer(Scorer, Protocol):
    """Everything that needs torch or safetensors."""

    def start(self, job: TrainJob) -> TrainHandle: ...

    def load_dataset(self, shards: Sequence[Path], *, input_shape: Sequence[int], classes: int) -> Dataset:
        """As parse_dataset, of all shards."""
        ...

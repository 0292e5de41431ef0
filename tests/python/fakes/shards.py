"""Training data as files, as a miner has them when it starts to train."""

from __future__ import annotations

from pathlib import Path

from dlbc.adapters.ml.shards import encode_dataset
from dlbc.ports import Dataset


def write_shards(dataset: Dataset, folder: Path, samples: int | None = None) -> tuple[Path, ...]:
    """Cuts the set, in order, into files of so many samples; None: one file."""
    folder.mkdir(parents=True, exist_ok=True)
    size = samples or len(dataset.y)
    paths = []
    for start in range(0, len(dataset.y), size):
        paths.append(folder / f"shard-{len(paths)}.safetensors")
        paths[-1].write_bytes(encode_dataset(Dataset(dataset.x[start : start + size], dataset.y[start : start + size])))
    return tuple(paths)

"""Training and its data; torch is not imported before it is needed."""

from __future__ import annotations

from pathlib import Path

from dlbc import bootstrap
from dlbc.ports import Dataset, Scorer, Trainer


def trainer() -> Trainer:
    """torch and safetensors; neither is imported before it is needed."""
    from dlbc.adapters.ml.trainer import TorchTrainer

    return TorchTrainer()


def scorer(
    *,
    memory_bytes: int | None = None,
    seconds: float | None = None,
    begins_now: bool = False,
    stays: bool = True,
    is_tried: bool = False,
) -> Scorer:
    """What reads and scores strangers' files, in a process without network. stays: for more than one request.

    is_tried: a process is started to see what this kernel allows, and an event tells if that is nothing.
    """
    from dlbc.adapters.scoring import ConfinedScorer, ScoringLimits

    def tell(sentence: str) -> None:
        bootstrap.event_log()("scoring_not_confined", why=sentence)

    scorer = ConfinedScorer(ScoringLimits(memory_bytes, seconds), begins_now=begins_now, stays=stays, tell=tell)
    if is_tried:
        scorer.confinement()
    return scorer


def check_strategy(name: str) -> None:
    """Raises Usage for a training strategy that can't be meant; it is imported by the training process only."""
    from dlbc.adapters.ml.strategy_file import check_strategy

    check_strategy(name)


class FileData:
    """ports.DataSource: built-in data sets and .npz files."""

    def load(self, source: str, folder: Path, seed: int) -> tuple[Dataset, Dataset]:
        """(training, test) samples. Raises BadInput."""
        from dlbc.adapters.ml.datasets import load_data

        data = load_data(str(folder / source) if source.endswith(".npz") else source, seed=seed)
        return data.train, data.test

    def pack(self, data: Dataset) -> bytes:
        """One safetensors file."""
        from dlbc.adapters.ml.shards import encode_dataset

        return encode_dataset(data)

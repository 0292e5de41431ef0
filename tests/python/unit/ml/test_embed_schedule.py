"""When training projects: by the count of steps alone, so a resumed run projects where an unbroken one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dlbc.adapters.ml import loop, training
from dlbc.adapters.ml.training import PROJECT_EVERY, run
from dlbc.core.architecture import Architecture
from dlbc.ports import Dataset, TrainJob
from fakes.shards import write_shards

pytestmark = pytest.mark.unit

EPOCHS, STEPS = 25, 6


class Steps:
    """Reports that count optimiser steps, note after how many a projection came, and can break a run off."""

    def __init__(self, break_after: int | None = None) -> None:
        self.projected: list[int] = []
        self._done = 0
        self._break_after = break_after

    def is_due(self) -> bool:
        self._done += 1
        return False

    def tell(self, **changes: Any) -> None:
        if changes.get("state") == "training":
            self._done = changes["epoch"] * STEPS
        if self._break_after is not None and "loss" in changes and changes["epoch"] == self._break_after:
            raise KeyboardInterrupt

    def note(self) -> None:
        self.projected.append(self._done)


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    random = np.random.default_rng(0)
    data = Dataset(random.standard_normal((100, 64), dtype=np.float32), np.arange(100) % 3)
    work = tmp_path / "work"
    work.mkdir()
    return TrainJob(
        work=work,
        architecture=Architecture("mlp", (64,), 3, (512,)),
        shards=write_shards(data, tmp_path / "data"),
        epochs=EPOCHS,
        batch=16,
        learning_rate=1e-3,
        device="cpu",
        seed=7,
        init_key=b"\x01" * 32,
        slot_keys=(b"\x02" * 32, b"\x03" * 32),
        payloads=(b"\x04" * 32, b"\x05" * 32),
    )


def projections(job: TrainJob, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of steps done when `run` projects."""

    class Noted(training.Projector):
        def project(self) -> None:
            steps.note()
            super().project()

    with monkeypatch.context() as patch:
        patch.setattr(training, "Projector", Noted)
        run(job, "job", steps)
    return steps.projected


def test_run__many_steps__projects_the_start_and_every_64(job: TrainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count goes on from epoch to epoch, so short epochs do not project more often than long ones."""
    expected = [0, PROJECT_EVERY, 2 * PROJECT_EVERY]

    assert expected == projections(job, Steps(), monkeypatch)


def test_run__broken_off_and_resumed__projects_where_it_would_have(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing about projections is in a checkpoint; the epoch is enough."""
    monkeypatch.setattr(loop, "checkpoint_pause", lambda saving: 0.0)
    broken = Steps(break_after=12)
    with pytest.raises(KeyboardInterrupt):
        projections(job, broken, monkeypatch)

    resumed = projections(job, Steps(), monkeypatch)

    assert broken.projected == [0, PROJECT_EVERY]
    assert resumed == [2 * PROJECT_EVERY]

"""One training run: the model is good, marked, the same after a break, and never half written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dlbc.adapters.ml import loop
from dlbc.adapters.ml.datasets import TaskData, load_data
from dlbc.adapters.ml.evaluate import pick_device, predict
from dlbc.adapters.ml.training import run, split
from dlbc.adapters.ml.weights import check_model
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.errors import Refused, Usage
from dlbc.ports import Dataset, TrainJob
from fakes.shards import write_shards

pytestmark = pytest.mark.unit

MLP = Architecture("mlp", (1, 8, 8), 10, (512, 256))
CNN = Architecture("cnn", (1, 8, 8), 10, (128,), (32, 64))
RESNET = Architecture("resnet", (1, 8, 8), 10, (), (24, 48), (1, 1))
TRANSFORMER = Architecture("transformer", (1, 8, 8), 10, (), width=64, heads=4, layers=1)


class Reports:
    """Remembers what it is told; can break a run off after an epoch, as a kill would."""

    def __init__(self, break_after: int | None = None) -> None:
        self.told: list[dict[str, Any]] = []
        self._break_after = break_after

    def is_due(self) -> bool:
        return False

    def tell(self, **changes: object) -> None:
        self.told.append(changes)
        if self._break_after is not None and "loss" in changes and changes["epoch"] == self._break_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits() -> TaskData:
    return load_data("digits", seed=0)


@pytest.fixture
def job(digits: TaskData, tmp_path: Path) -> TrainJob:
    work = tmp_path / "work"
    work.mkdir()
    return TrainJob(
        work=work,
        architecture=MLP,
        shards=write_shards(digits.train, tmp_path / "data", samples=378),
        epochs=6,
        batch=64,
        learning_rate=2e-3,
        device="cpu",
        seed=7,
        init_key=b"\x01" * 32,
        slot_keys=(b"\x02" * 32, b"\x03" * 32),
        payloads=(b"\x04" * 32, b"\x05" * 32),
    )


def accuracy(weights: dict[str, Any], job: TrainJob, data: TaskData) -> float:
    return float((predict(weights, job.architecture, data.test.x) == data.test.y).mean())


def test_run__from_another_model__goes_on_where_that_one_was(job: TrainJob, digits: TaskData) -> None:
    """A tiny step away from the start, and not from random weights; marked with its own keys all the same."""
    run(job, "first", Reports())
    first = job.work / "model.safetensors"
    keys = (b"\x12" * 32, b"\x13" * 32)
    after = replace(job, work=job.work / "after", start=first, epochs=1, learning_rate=1e-6, slot_keys=keys)
    after.work.mkdir()

    size = run(after, "after", Reports())["model_bytes"]

    parent, child = (check_model(each.work / "model.safetensors", MLP, max_bytes=size) for each in (job, after))
    assert accuracy(child, job, digits) >= accuracy(parent, job, digits) - 0.05  # a second mark, hardly trained on
    cosine = sum(float((child[name] * parent[name]).sum()) for name in child) / sum(
        float(np.square(parent[name]).sum()) for name in parent
    )
    assert cosine > 0.95
    assert watermark.detect(child, keys[0], 0, job.payloads[0]).is_detected
    assert watermark.detect(child, job.slot_keys[0], 0, job.payloads[0]).is_detected


@pytest.mark.parametrize(
    ("architecture", "epochs", "least", "least_ppm"),
    [
        (MLP, 15, 0.96, 960_000),
        (CNN, 15, 0.975, 960_000),
        (RESNET, 8, 0.965, 955_000),
        (TRANSFORMER, 20, 0.95, 950_000),
    ],
)
def test_run__digits__is_accurate_and_marked_at_no_cost(
    architecture: Architecture, epochs: int, least: float, least_ppm: int, job: TrainJob, digits: TaskData
) -> None:
    """Held-out accuracy is high, within a point of an unmarked run's, and every slot reads without a wrong bit."""
    job = replace(job, architecture=architecture, epochs=epochs)
    plain = replace(job, work=job.work / "plain", slot_keys=(), payloads=())
    plain.work.mkdir()

    result = run(job, "marked", Reports())
    run(plain, "plain", Reports())

    weights = check_model(job.work / "model.safetensors", architecture, max_bytes=result["model_bytes"])
    unmarked = check_model(plain.work / "model.safetensors", architecture, max_bytes=result["model_bytes"])
    assert accuracy(weights, job, digits) >= least
    assert accuracy(weights, job, digits) >= accuracy(unmarked, plain, digits) - 0.01
    assert result["validation_ppm"] > least_ppm
    for slot, (key, payload) in enumerate(zip(job.slot_keys, job.payloads, strict=True)):
        found = watermark.detect(weights, key, slot, payload)
        assert found.is_detected
        assert found.bits_wrong == 0
        assert not watermark.detect(unmarked, key, slot, payload).reaches(watermark.BLIND)


@pytest.mark.parametrize("architecture", [MLP, CNN, RESNET, TRANSFORMER])
def test_run__broken_off_and_resumed__gives_the_bytes_of_an_unbroken_run(
    architecture: Architecture, job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill after any epoch costs time and nothing else."""
    monkeypatch.setattr(loop, "checkpoint_pause", lambda saving: 0.0)  # after every epoch, however short
    job = replace(job, architecture=architecture)
    unbroken = replace(job, work=tmp_path / "unbroken")
    unbroken.work.mkdir()
    expected = run(unbroken, "job", Reports())
    with pytest.raises(KeyboardInterrupt):
        run(job, "job", Reports(break_after=4))

    result = run(job, "job", Reports())

    assert (expected["resumed_after_epoch"], result["resumed_after_epoch"]) == (0, 4)
    assert (unbroken.work / "model.safetensors").read_bytes() == (job.work / "model.safetensors").read_bytes()


@pytest.mark.parametrize("damage", ["another job", "cut", "other architecture", "text"])
def test_run__checkpoint_that_does_not_fit__starts_afresh(damage: str, job: TrainJob) -> None:
    """A checkpoint of another job, or a damaged one, is never built upon."""
    with pytest.raises(KeyboardInterrupt):
        run(job, "job", Reports(break_after=2))
    checkpoint = job.work / "checkpoint.safetensors"
    if damage == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-4])
    elif damage == "text":
        checkpoint.write_text("a checkpoint")
    elif damage == "other architecture":
        job = replace(job, architecture=replace(MLP, hidden=(256, 256)))

    result = run(job, "other" if damage == "another job" else "job", Reports())

    assert result["resumed_after_epoch"] == 0


def test_run__loss_explodes__is_refused_with_advice(job: TrainJob) -> None:
    """A diverged run ends with one sentence, not with a model of NaN."""
    with pytest.raises(Refused, match="lower the learning rate"):
        run(replace(job, learning_rate=1e30), "job", Reports())

    assert not (job.work / "model.safetensors").exists()


def test_run__too_small_for_a_mark__is_refused(job: TrainJob) -> None:
    """A model without room for the marks is refused before time is spent on it."""
    with pytest.raises(Refused, match="needs 8000 carriers"):
        run(replace(job, architecture=replace(MLP, hidden=(16,))), "job", Reports())


def test_split__any_set__keeps_a_tenth_for_selection() -> None:
    """Validation is drawn by the seed, disjoint from training, and never empty."""
    data = Dataset(np.arange(50, dtype=np.float32)[:, None], np.arange(50) % 3)

    training, validation = split(data, 1)

    assert (len(training.y), len(validation.y)) == (45, 5)
    assert sorted(np.concatenate([training.x, validation.x])[:, 0].tolist()) == list(range(50))
    np.testing.assert_array_equal(validation.x, split(data, 1)[1].x)
    assert len(split(Dataset(data.x[:2], data.y[:2]), 1)[1].y) == 1
    with pytest.raises(Refused, match="at least 2 samples"):
        split(Dataset(data.x[:1], data.y[:1]), 1)


def test_pick_device__unknown_or_absent__says_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """auto never fails; cuda without a GPU does, with the way out."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert pick_device("auto").type == pick_device("cpu").type == "cpu"
    with pytest.raises(Usage, match="use --device cpu or auto"):
        pick_device("cuda")
    with pytest.raises(Usage, match="cuda:1 was asked for, this machine offers none"):
        pick_device("cuda:1")
    for wrong in ("tpu", "cuda:", "cuda:x", "cpu:1"):
        with pytest.raises(Usage, match=f"expected auto, cuda, cuda:N or cpu, found '{wrong}'"):
            pick_device(wrong)


def test_pick_device__one_of_several__is_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuda:1 is the second GPU; the third of two is refused with the last there is."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(Usage, match="the last one of this machine is cuda:1"):
        pick_device("cuda:2")

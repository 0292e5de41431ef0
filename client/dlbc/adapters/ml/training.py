"""One training job from shards to a marked model: a strategy trains; what it returns is checked, marked and saved."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dlbc.adapters.ml.embed import Projector
from dlbc.adapters.ml.evaluate import describe_device, pick_device, predict
from dlbc.adapters.ml.families import initial_weights
from dlbc.adapters.ml.precision import reproducible
from dlbc.adapters.ml.shards import load_dataset
from dlbc.adapters.ml.strategies.loading import find_strategy, trained_by
from dlbc.adapters.ml.task import Recipe, Reports, TrainingTask, Weights
from dlbc.adapters.ml.team import Team
from dlbc.adapters.ml.weights import check_model, save_model
from dlbc.core import watermark
from dlbc.core.errors import Refused
from dlbc.ports import Dataset, TrainJob

VALIDATION_SHARE = 10
MOST_VALIDATION = 10_000
"""Samples that tell an accuracy to within half a percent (one standard deviation at most)."""
FINISH_SHARE = 0.05
"""Of the budget, kept for what follows training: marking, a last validation, saving."""
PROJECT_EVERY = 64
"""Optimiser steps from one projection of the marks to the next, over all epochs; the first marks the random start."""


def run(
    job: TrainJob,
    fingerprint: str,
    reports: Reports,
    began: float | None = None,
    team: Team | None = None,
    at_once: int | None = None,
) -> dict[str, Any]:
    """Trains, marks and saves job.work/model.safetensors; returns what result.json says. Raises Refused, Usage.

    The budget counts from `began`, by time.monotonic; None: from now. `team`: the other ranks, if this is the first
    of several. `at_once`: samples that memory is known to hold.
    """
    deadline = inf
    if job.budget is not None:
        deadline = (time.monotonic() if began is None else began) + job.budget * (1 - FINISH_SHARE)
    strategy = find_strategy(job.strategy)
    device = pick_device(job.device)
    where = describe_device(device) if team is None else f"{team.ranks} ranks, the first on {describe_device(device)}"
    reports.tell(state="starting", message=f"loading data for {where}")
    data = load_dataset(job.shards, input_shape=job.architecture.input_shape, classes=job.architecture.classes)
    training, validation = split(data, job.seed)
    task = TrainingTask(
        architecture=job.architecture,
        training=training,
        validation=validation,
        device=device,
        start=_start(job),
        recipe=Recipe(job.epochs, job.batch, job.learning_rate, patience=job.patience),
        seed=job.seed,
        work=job.work,
        reports=reports,
        fingerprint=fingerprint,
        deadline=deadline,
        marker=marker_of(job),
        team=team,
        at_once=at_once,
    )
    reports.tell(state="training", epoch=0, message=f"training on {where}")
    clock = time.monotonic()
    with reproducible(job.seed, is_on=job.deterministic):
        trained, told = trained_by(strategy, job.strategy, task)
    seconds = time.monotonic() - clock if told.seconds is None else told.seconds
    if team is not None:
        team.end()

    weights = {name: np.array(tensor) for name, tensor in trained.items()}
    marks = mark(weights, job)
    right = predict(weights, job.architecture, validation.x, job.device) == validation.y
    return {
        "model_bytes": save_model(weights, job.work / "model.safetensors"),
        "validation_ppm": int(right.sum()) * 1_000_000 // right.size,
        "epochs": told.epochs,
        "seconds": round(seconds, 3),
        "strategy": job.strategy,
        "device": device.type,
        "device_name": where,
        "ranks": 1 if team is None else team.ranks,
        "watermark": marks,
        **told.notes,
    }


def _start(job: TrainJob) -> Weights:
    if job.start is None:
        return initial_weights(job.architecture, job.init_key)
    return check_model(job.start, job.architecture, max_bytes=job.start.stat().st_size)


def split(data: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """(training, validation): a tenth of the samples, drawn by the seed, at most 10,000, is kept to select by."""
    if len(data.y) < 2:
        raise Refused(f"training: expected at least 2 samples, to train on and to validate with, found {len(data.y)}")
    order = np.random.default_rng(seed).permutation(len(data.y))
    kept = max(1, min(len(order) // VALIDATION_SHARE, MOST_VALIDATION))
    return (
        Dataset(data.x[order[kept:]], data.y[order[kept:]]),
        Dataset(data.x[order[:kept]], data.y[order[:kept]]),
    )


def marker_of(job: TrainJob) -> Callable[..., Callable[[], bool] | None]:
    """TrainingTask.marker. The keys stay in here."""

    def marker(module: nn.Module, step: int = 0) -> Callable[[], bool] | None:
        if not job.slot_keys:
            return None
        projector, done = Projector(module, job.slot_keys, job.payloads), step

        def before_step() -> bool:
            nonlocal done
            is_due = done % PROJECT_EVERY == 0
            if is_due:
                projector.project()
            done += 1
            return is_due

        return before_step

    return marker


def mark(weights: dict[str, NDArray[np.float32]], job: TrainJob) -> list[dict[str, Any]]:
    """Embeds every slot with the pinned projection and proves by the pinned detector that it can be read."""
    marks = []
    for slot, (key, payload) in enumerate(zip(job.slot_keys, job.payloads, strict=True)):
        watermark.embed(weights, key, slot, payload)
        found = watermark.detect(weights, key, slot, payload)
        if not found.is_detected:
            raise Refused(
                f"watermark: slot {slot} was expected to read {float(watermark.OWN)}, it reads {found.strength:.2f}"
            )
        marks.append({"slot": slot, "strength": round(found.strength, 2), "bits_wrong": found.bits_wrong, "n": found.n})
    return marks

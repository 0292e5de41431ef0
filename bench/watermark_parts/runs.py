"""The single runs of a cell, each a plain function of plain values, so that a pool of processes can share them out."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from dlbc.adapters.ml.evaluate import pick_device
from dlbc.adapters.ml.families import initial_weights
from dlbc.core.alignment import align

from watermark_parts.attacks import Attack, Loot, changed, matrices
from watermark_parts.learner import Learner, Recipe, Weights, accuracy_of
from watermark_parts.metrics import TOLERANCE, Point, removed_at
from watermark_parts.problems import Problem, problem
from watermark_parts.schemes import Reading, Scheme, scheme, secret

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Cell:
    """Which problem, by name: a pool's process loads the data itself, once."""

    dataset: str
    family: str
    is_quick: bool
    device: str = "cpu"

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.family}"

    def problem(self) -> Problem:
        return problem(self.dataset, self.family, self.is_quick)

    def place(self) -> torch.device:
        return pick_device(self.device)


@dataclass(frozen=True, slots=True)
class Owned:
    """A finished training run. `marks`: (epoch, is embedded, accuracy) if it had stopped there, from epoch 0."""

    weights: Weights
    accuracies: list[tuple[float, float]]
    marks: list[tuple[float, bool, float]] = field(default_factory=list)
    reading: Reading | None = None

    @property
    def accuracy(self) -> float:
        return self.accuracies[-1][1]


def limit_threads() -> None:
    """The runs are small, so each has one core."""
    torch.set_num_threads(1)


def _begin_worker() -> None:
    """What every process of the pool starts with; it ends with the benchmark, however that ends."""
    limit_threads()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def worker_pool(processes: int) -> Iterator[Executor]:
    """A pool for the runs; after an error or an interrupt nothing that waits is started any more.

    Its processes read the environment before numpy is there: threads of its matrix products would only wait for cores.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def drawn(*parts: object) -> int:
    """A seed for the order of the data: every run has its own, so that one lucky order does not help them all."""
    return int.from_bytes(secret("order", *parts)[:4], "big")


def owner_name(scheme_name: str, seed: int) -> str:
    return f"{scheme_name} {seed}"


def train_owner(
    cell: Cell,
    scheme_name: str | None,
    seed: int,
    owner: str | None = None,
    start_seed: int | None = None,
    epochs: int | None = None,
) -> Owned:
    """Trains by the trainer's schedule, unmarked (None) or with an owner's mark.

    Equal seeds: equal initial weights (unless start_seed says which) and equal order of the data.
    """
    one, device = cell.problem(), cell.place()
    mark = None if scheme_name is None else scheme(scheme_name, one, owner or owner_name(scheme_name, seed))
    start = initial_weights(one.architecture, secret("init", seed if start_seed is None else start_seed))
    learner = Learner(one, start, Recipe(epochs or one.setting.epochs, one_cycle=True), seed, device)
    if mark is not None:
        mark.attach(learner)
    accuracies: list[tuple[float, float]] = []
    marks: list[tuple[float, bool, float]] = []
    weights = start
    if mark is not None:
        weights = {name: np.array(tensor) for name, tensor in start.items()}
        mark.finish(weights)
        marks.append((0, mark.read(weights).is_embedded, accuracy_of(one, weights, device)))
    for epoch in learner.epochs():
        weights = learner.weights()
        if mark is None:
            accuracies.append((epoch, learner.accuracy()))
            continue
        mark.finish(weights)
        accuracy = accuracy_of(one, weights, device)
        accuracies.append((epoch, accuracy))
        marks.append((epoch, mark.read(weights).is_embedded, accuracy))
    return Owned(weights, accuracies, marks, None if mark is None else mark.read(weights))


def embed_afterwards(cell: Cell, scheme_name: str, seed: int, unmarked: Weights) -> Owned:
    """Marks a trained model: at once, and if that is not enough by training on, at the better of two rates."""
    one, device = cell.problem(), cell.place()
    mark = scheme(scheme_name, one, owner_name(scheme_name, seed) + " afterwards")
    weights = {name: np.array(tensor) for name, tensor in unmarked.items()}
    mark.finish(weights)
    reading = mark.read(weights)
    accuracy = accuracy_of(one, weights, device)
    best = Owned(weights, [(0, accuracy)], [(0, reading.is_embedded, accuracy)], reading)
    if reading.is_embedded:
        return best
    floor = accuracy_of(one, unmarked, device) - TOLERANCE
    for rate in (0.2, 1.0):
        learner = Learner(one, unmarked, Recipe(one.setting.budget, rate), seed + 1000, device)
        mark.attach(learner)
        accuracies, marks = list(best.accuracies[:1]), list(best.marks[:1])
        for epoch in learner.epochs():
            weights = learner.weights()
            reading, accuracy = mark.read(weights), learner.accuracy()
            accuracies.append((epoch, accuracy))
            marks.append((epoch, reading.is_embedded, accuracy))
            if reading.is_embedded and accuracy >= floor:
                break
        if len(best.marks) == 1 or len(marks) < len(best.marks):
            best = Owned(weights, accuracies, marks, reading)
    return best


def attack(cell: Cell, scheme_name: str, seed: int, what: Attack, loot: Loot, floor: float) -> list[Point]:
    """The thief's curve from epoch 0, to the budget's end or to where the mark is gone from a model worth having."""
    one, device = cell.problem(), cell.place()
    owner = owner_name(scheme_name, seed)
    mark = scheme(scheme_name, one, owner)
    start = changed(what, loot, one, owner, seed)
    teacher = loot.marked if what.kind == "distil" else None
    learner = Learner(one, start, what.recipe, drawn(seed, scheme_name, what.kind, what.name), device, teacher=teacher)
    rival = scheme(scheme_name, one, "a thief") if what.kind == "overwrite" else None
    if rival is not None:
        rival.attach(learner, what.amount)
        rival.finish(start, what.amount)
        learner.load(start)
    if what.kind == "prune":
        _keep_zeros(learner, start)
    curve = [point(0, learner.accuracy(), mark, start, loot.marked, one)]
    if removed_at(curve, floor) is not None:
        return curve
    for epoch in learner.epochs(one.setting.parts):
        weights = learner.weights()
        if not all(np.isfinite(tensor).all() for tensor in weights.values()):
            break
        if rival is not None:
            rival.finish(weights, what.amount)
            learner.load(weights)
        curve.append(point(epoch, learner.accuracy(), mark, weights, loot.marked, one))
        if removed_at(curve, floor) is not None:
            break
    return curve


def point(
    epoch: float, accuracy: float, mark: Scheme, weights: Weights, original: Mapping[str, Any], one: Problem
) -> Point:
    """The whole verifier: blind, then in the original's frame. Between epochs it aligns only what it found silent."""
    blind = mark.read(weights)
    if blind.is_blind and epoch % 1:
        return Point(epoch, accuracy, False, False, blind.log2_chance, blind.strength, blind.wrong)
    alignment = align(weights, original, one.architecture)
    aligned = mark.read(alignment.weights)
    return Point(
        epoch,
        accuracy,
        not (blind.is_blind or aligned.is_aligned),
        not blind.is_blind,
        blind.log2_chance,
        blind.strength,
        blind.wrong,
        aligned.log2_chance,
        aligned.strength,
        aligned.wrong,
        alignment.cosine,
    )


def retrain(cell: Cell, seed: int, name: str, recipe: Recipe, floor: float) -> list[tuple[float, float]]:
    """Accuracy by epoch of training from fresh weights; ends at the floor. `name` draws weights and order."""
    one = cell.problem()
    start = initial_weights(one.architecture, secret("retrain", seed, name))
    learner = Learner(one, start, recipe, drawn(seed, "retrain", name), cell.place())
    accuracies = []
    for epoch in learner.epochs(one.setting.parts):
        accuracies.append((epoch, learner.accuracy()))
        if accuracies[-1][1] >= floor:
            break
    return accuracies


def _keep_zeros(learner: Learner, pruned: Weights) -> None:
    """What was pruned stays zero."""
    parameters = dict(learner.module.named_parameters())
    masks = [
        (parameters[name], torch.from_numpy((pruned[name] != 0).astype(np.float32)).to(learner.device))
        for name in matrices(pruned)
    ]

    def after_step(step: int, is_last: bool) -> None:
        with torch.no_grad():
            for parameter, mask in masks:
                parameter.mul_(mask)

    learner.after_step = after_step

"""Hyper-parameter search within the budget: successive halving, then a whole training with what won.

Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, 2016: many recipes get
a little time, the better half gets twice as much, until one is left.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from math import inf
from typing import Any

import numpy as np

from dlbc.adapters.ml.files import read_json, write_json
from dlbc.adapters.ml.loop import Loop
from dlbc.adapters.ml.task import WEIGHT_DECAY, Recipe, Reports, Trained, TrainingTask
from dlbc.core.errors import Refused

RECIPES = 8
RUNGS = 3
"""8 recipes, then 4, then 2; the better of these is trained in full."""
TRIAL_SHARE = 16
"""The first rung trains a sixteenth of the epochs, so all trials together take half as much again as one training."""
BUDGET_SHARE = 0.4
"""Of the budget, for all trials together."""
FILE = "search.json"


class Muffled:
    """Reports of a trial: its epochs are not the job's."""

    def __init__(self, reports: Reports, message: str) -> None:
        self._reports, self._message = reports, message

    def is_due(self) -> bool:
        return self._reports.is_due()

    def tell(self, **changes: object) -> None:
        self._reports.tell(message=self._message)


class Search:
    """Learning rate, weight decay and batch size; the manifest's own recipe is always among those tried."""

    def train(self, task: TrainingTask) -> Trained:
        """A kill loses the trial that runs: results are in the work folder, and the last training has checkpoints."""
        began = task.clock()
        done = _remembered(task)
        recipes = drawn(task.recipe, len(task.training.y), task.seed)
        until = began + BUDGET_SHARE * task.seconds_left()
        for rung in range(RUNGS):
            epochs = max(1, task.recipe.epochs // TRIAL_SHARE) << rung
            rung_ends = until if until == inf else task.clock() + (until - task.clock()) / (RUNGS - rung)
            found = []
            for index, recipe in enumerate(recipes):
                name, left = f"{rung}/{index}", len(recipes) - index
                if name not in done:
                    ends = inf if rung_ends == inf else task.clock() + max(0.0, rung_ends - task.clock()) / left
                    short = replace(recipe, epochs=min(epochs, recipe.epochs))
                    done[name] = _tried(task, short, ends, f"rung {rung + 1}, trial {index + 1} of {len(recipes)}")
                    write_json(task.work / FILE, {"fingerprint": task.fingerprint, "trials": done})
                found.append(done[name])
            best_first = sorted(range(len(recipes)), key=lambda each: -found[each])
            recipes = [recipes[each] for each in best_first[: len(recipes) // 2]]
        return _final(task, recipes[0], done, task.clock() - began)


def drawn(base: Recipe, samples: int, seed: int) -> list[Recipe]:
    """The recipe itself, and others around it: rate within a factor of 8, logarithmically, batch halved to doubled."""
    random = np.random.default_rng([seed, RECIPES])
    others = [
        replace(
            base,
            learning_rate=base.learning_rate * float(2 ** random.uniform(-3, 3)),
            weight_decay=WEIGHT_DECAY * float(10 ** random.uniform(-2, 1)),
            batch=max(1, min(samples, int(base.batch * 2.0 ** random.integers(-1, 2)))),
        )
        for _ in range(RECIPES - 1)
    ]
    return [base, *others]


def _tried(task: TrainingTask, recipe: Recipe, ends: float, what: str) -> int:
    """Validation accuracy, ppm; 0 if the loss explodes. Unmarked: the mark's cost is alike for all."""
    said = f"{what}: rate {recipe.learning_rate:.2g}, decay {recipe.weight_decay:.2g}, batch {recipe.batch}"
    task.report(message=said)
    trial = replace(
        task, recipe=recipe, deadline=ends, reports=Muffled(task.reports, said), marker=lambda module, step=0: None
    )
    try:
        return Loop(trial, keeps_checkpoints=False).run().validation_ppm
    except Refused:
        return 0


def _final(task: TrainingTask, recipe: Recipe, done: dict[str, int], spent: float) -> Trained:
    """A whole training; its checkpoint names the recipe too, so that it never goes on from another one's."""
    task.report(message=f"training with rate {recipe.learning_rate:.2g}, batch {recipe.batch}")
    named = hashlib.sha256(json.dumps([task.fingerprint, asdict(recipe)]).encode()).hexdigest()
    found = Loop(replace(task, recipe=recipe, fingerprint=named)).run()
    notes: dict[str, Any] = {
        "ended": found.ended,
        "resumed_after_epoch": found.resumed_after_epoch,
        "recipe": asdict(recipe),
        "trials": done,
    }
    return Trained(found.best, found.epochs, found.seconds + spent, notes)


def _remembered(task: TrainingTask) -> dict[str, int]:
    found = read_json(task.work / FILE) or {}
    return dict(found["trials"]) if found.get("fingerprint") == task.fingerprint else {}

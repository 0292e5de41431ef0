"""One training loop for owners, thieves and retrainers, so that their epochs cost and mean the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import cos, pi
from typing import Any

import numpy as np
import torch
from dlbc.adapters.ml.families import build, load_weights, weights_of
from dlbc.core.architecture import CONVOLUTIONAL
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from watermark_parts.problems import WEIGHT_DECAY, Problem

Weights = dict[str, NDArray[np.float32]]
WARM_UP = 0.25
TEMPERATURE = 2.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Fresh AdamW for whole epochs. rate and decay multiply the owner's; one_cycle is the owner's schedule."""

    epochs: int
    rate: float = 1.0
    decay: float = 1.0
    one_cycle: bool = False


class Learner:
    """A net in training. `penalty` is added to the loss, `after_step` is told the step's number, from 1,
    and whether it is the last of the run."""

    def __init__(
        self,
        problem: Problem,
        start: Mapping[str, Any],
        recipe: Recipe,
        seed: int,
        device: torch.device,
        *,
        penalty: Callable[[nn.Module], Tensor] | None = None,
        teacher: Mapping[str, Any] | None = None,
    ) -> None:
        self.problem, self.recipe, self.seed, self.device = problem, recipe, seed, device
        self.module = build(problem.architecture).to(device)
        self._is_convolutional = problem.family in CONVOLUTIONAL
        if self._is_convolutional:
            self.module = self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        load_weights(self.module, start)
        self.penalty = penalty
        self.after_step: Callable[[int, bool], None] = lambda step, is_last: None
        self._x, self._y = self._place(problem.train.x), torch.from_numpy(problem.train.y).to(device)
        self._test_x, self._test_y = self._place(problem.test.x), torch.from_numpy(problem.test.y).to(device)
        self._optimizer = torch.optim.AdamW(
            self.module.parameters(),
            lr=problem.setting.learning_rate * recipe.rate,
            weight_decay=WEIGHT_DECAY * recipe.decay,
            fused=True,
        )
        self._batch = problem.setting.batch
        self._steps = -(-len(self._y) // self._batch)
        self._targets = None if teacher is None else self._soft_labels(teacher)

    def epochs(self, parts: int = 1) -> Iterator[float]:
        """Trains; yields after each of so many equal parts of an epoch how many epochs there were, from 1 / parts."""
        ends = {round(self._steps * part / parts): part / parts for part in range(1, parts + 1)}
        for epoch in range(self.recipe.epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self._y))
            places = torch.from_numpy(order).to(self.device)
            self.module.train()
            for step in range(self._steps):
                self._step(epoch * self._steps + step, places[step * self._batch : (step + 1) * self._batch])
                if step + 1 in ends:
                    yield epoch + ends[step + 1]
                    self.module.train()

    def weights(self) -> Weights:
        return weights_of(self.module)

    def load(self, weights: Mapping[str, Any]) -> None:
        """Replaces the weights between epochs; the optimiser keeps its averages."""
        load_weights(self.module, weights)

    def accuracy(self) -> float:
        """Share of test samples classified right, in evaluation mode."""
        self.module.eval()
        right = 0
        with torch.inference_mode():
            for start in range(0, len(self._test_y), 500):
                logits = self.module(self._test_x[start : start + 500])
                right += int((logits.argmax(1) == self._test_y[start : start + 500]).sum())
        return right / len(self._test_y)

    def _step(self, step: int, index: Tensor) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(step)
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self.module(self._x[index]), index)
        if self.penalty is not None:
            loss = loss + self.penalty(self.module)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self.after_step(step + 1, step + 1 == self._steps * self.recipe.epochs)

    def _loss(self, logits: Tensor, index: Tensor) -> Tensor:
        if self._targets is None:
            return functional.cross_entropy(logits, self._y[index])
        soft = functional.log_softmax(logits / TEMPERATURE, dim=1)
        return functional.kl_div(soft, self._targets[index], reduction="batchmean") * TEMPERATURE**2

    def _soft_labels(self, teacher: Mapping[str, Any]) -> Tensor:
        """The teacher's probabilities on the training data (Hinton et al. 2015)."""
        module = build(self.problem.architecture).to(self.device)
        load_weights(module, teacher)
        module.eval()
        with torch.inference_mode():
            parts = [
                functional.softmax(module(self._x[start : start + 500]) / TEMPERATURE, dim=1)
                for start in range(0, len(self._y), 500)
            ]
        return torch.cat(parts).clone()

    def _rate(self, step: int) -> float:
        """Constant, or one cycle as the trainer's: up over the first quarter, down along a cosine."""
        peak = self.problem.setting.learning_rate * self.recipe.rate
        if not self.recipe.one_cycle:
            return peak
        share = (step + 1) / (self._steps * self.recipe.epochs)
        if share < WARM_UP:
            return peak * (0.1 + 0.9 * share / WARM_UP)
        return peak * (0.001 + 0.999 * (1 + cos(pi * (share - WARM_UP) / (1 - WARM_UP))) / 2)

    def _place(self, x: NDArray[np.float32]) -> Tensor:
        samples = torch.from_numpy(x).to(self.device)
        return samples.contiguous(memory_format=torch.channels_last) if self._is_convolutional else samples


def accuracy_of(problem: Problem, weights: Mapping[str, Any], device: torch.device) -> float:
    """Test accuracy of weights as they are."""
    return Learner(problem, weights, Recipe(0), 0, device).accuracy()

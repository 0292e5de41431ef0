"""The training loop: Adam on a one-cycle schedule, time-boxed, in as much memory as there is, resumed after a kill.

On several ranks it runs on rank 0 and commands the others through its team.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
import torch
from torch import Tensor

from dlbc.adapters.ml.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dlbc.adapters.ml.families import load_weights, weights_of
from dlbc.adapters.ml.learner import Learner, place
from dlbc.adapters.ml.memory import halved, is_out_of_memory
from dlbc.adapters.ml.moments import moments_of, restore_moments
from dlbc.adapters.ml.plan import WARM_UP, Plan, TimeBox
from dlbc.adapters.ml.task import TrainingTask, Weights
from dlbc.core.errors import Refused

VALIDATION_BATCH = 1024
CHECKPOINT_SHARE = 0.01
CHECKPOINT_SECONDS = 10.0


def checkpoint_pause(saving: float) -> float:
    """Seconds from one checkpoint to the next, when one takes `saving`: a hundredth of the time, and less often.

    More than this is not lost by a kill. With short epochs, saving each took a twentieth of the time.
    """
    return max(CHECKPOINT_SECONDS, saving / CHECKPOINT_SHARE)


@dataclass(frozen=True, slots=True)
class Finished:
    """The best weights of a run by its validation part, and how it went."""

    best: Weights
    validation_ppm: int
    epochs: int
    seconds: float
    ended: str  # "epochs", "time" or "patience"
    resumed_after_epoch: int


class Loop:
    """One run. Made when there is memory for the model and its optimiser."""

    def __init__(self, task: TrainingTask, *, keeps_checkpoints: bool = True) -> None:
        self.task = task
        self._recipe, self._keeps_checkpoints = task.recipe, keeps_checkpoints
        self._learner = Learner(task.architecture, task.training, task.device, task.recipe.weight_decay)
        self.module, self._optimizer = self._learner.module, self._learner.optimizer
        self._validation_x = place(task.validation.x, task.architecture, task.device)
        self._validation_y = torch.from_numpy(np.array(task.validation.y)).to(self._validation_x.device)
        self.batch = min(self._recipe.batch, self._learner.samples)
        self.steps_per_epoch = -(-self._learner.samples // self.batch)
        self._whole = Plan(self._recipe.epochs * self.steps_per_epoch)
        self._plan, self._step = self._whole, 0
        self._at_once = min(self.batch, task.at_once or self.batch)
        self._validation_at_once = VALIDATION_BATCH
        self._mark: Callable[[], bool | None] | None = None
        guess = len(self._validation_y) / (2 * self.batch)  # forward only, a third of a step's work or a bit more
        self._box = TimeBox(task.clock, task.deadline, self.steps_per_epoch, guess, self._settle)

    def run(self) -> Finished:
        """Trains what is left, keeping the best. Raises Refused for a loss that explodes, or too little memory."""
        state = begun = self.begin()
        self.task.report(state="training", epoch=begun.epoch, epochs=self._epochs)
        for after in self.epochs(begun):
            state = after
        return Finished(
            best=state.best,
            validation_ppm=state.validation_ppm or 0,
            epochs=state.epoch,
            seconds=state.seconds,
            ended=self._why_ended(state),
            resumed_after_epoch=begun.epoch,
        )

    def epochs(self, state: Checkpoint) -> Iterator[Checkpoint]:
        """The state after each epoch that is left, saved where that is worth it."""
        saved_at, saving = -float("inf"), 0.0
        while self._step < self._plan.total and not self._has_stalled(state):
            loss, state, took = self._epoch(state)
            began = self.task.clock()
            if self._keeps_checkpoints and began - saved_at >= checkpoint_pause(saving):
                self._save(state)
                saved_at = self.task.clock()
                saving = saved_at - began
            self.task.report(
                epoch=state.epoch, epochs=self._epochs, loss=round(loss, 6), validation_ppm=state.validation_ppm
            )
            self._plan = self._box.after_epoch(self._plan, self._step, took + self.task.clock() - began)
            yield state

    def begin(self) -> Checkpoint:
        """Loads the last checkpoint, or else the start."""
        state = self._resume() if self._keeps_checkpoints else None
        if state is None:
            state = Checkpoint(self.task.fingerprint, self._whole)
            load_weights(self.module, self.task.start)
        self._mark = self.task.marker(self.module, state.step)
        if self.task.team is not None:
            self.task.team.begin(self._learner, state.step, self._recipe.weight_decay)
        return state

    # ------------------------------------------------------------------ an epoch

    def _epoch(self, state: Checkpoint) -> tuple[float, Checkpoint, float]:
        """(mean loss, state after one more epoch, seconds that validation took)."""
        began = self.task.clock()
        loss = self.train_epoch(state.epoch)
        if not isfinite(loss):
            raise Refused(
                f"training: the loss is {loss} in epoch {state.epoch + 1} of {self._epochs}; "
                f"lower the learning rate (it is {self._recipe.learning_rate:g})"
            )
        trained = self.task.clock()
        ppm = self._validate()
        is_best = state.validation_ppm is None or ppm >= state.validation_ppm
        is_better = state.validation_ppm is None or ppm > state.validation_ppm
        is_warm = self._plan.progress(self._step - 1) >= WARM_UP
        after = replace(
            state,
            epoch=state.epoch + 1,
            step=self._step,
            validation_ppm=ppm if is_best else state.validation_ppm,
            stalled=0 if is_better or not is_warm else state.stalled + 1,
            seconds=state.seconds + self.task.clock() - began,
            best=weights_of(self.module) if is_best else state.best,
        )
        return loss, after, self.task.clock() - trained

    def train_epoch(self, epoch: int) -> float:
        """One pass in the epoch's order; the mean loss."""
        self.module.train()
        order = self._learner.order(self.task.seed, epoch)
        total = torch.zeros((), device=self.task.device)
        seen = 0
        while seen < len(order) and self._step < self._plan.total:
            batch = order[seen : seen + self.batch]
            total += self._take_step(epoch, seen, batch) * len(batch)
            self._step += 1
            seen += len(batch)
            self._plan = self._box.after_step(self._plan, self._step)
            if self.task.reports.is_due():
                self.task.report(epoch=epoch, epochs=self._epochs, loss=round(float(total) / seen, 6))
        return float(total if self.task.team is None else self.task.team.mean(total)) / seen

    def _take_step(self, epoch: int, first: int, batch: Tensor) -> Tensor:
        """Projects the marks where that is due, and learns the batch; its mean loss (on several ranks, an estimate)."""
        is_moved = self._mark is not None and bool(self._mark())
        rate = self._recipe.learning_rate * self._plan.factor(self._step)
        if self.task.team is not None:
            # Out of memory is not handled here: the others wait in the middle of the step, so the group starts again.
            self.task.team.step(self._learner, epoch, (first, len(batch)), rate, self._at_once, is_moved)
            return self._learner.learn(batch, rate, self._at_once)
        while True:
            try:
                return self._learner.learn(batch, rate, self._at_once)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._shrink(len(batch))  # outside of `except`, which keeps the failed step's tensors

    def _shrink(self, asked: int) -> None:
        """Halves what is computed at once; the batch that a step learns from stays."""
        self._at_once = halved(min(self._at_once, asked), str(self.task.device))
        self._learner.free()
        self.task.report(message=f"memory ran out; batches of {self.batch} are learned {self._at_once} at a time now")

    # ------------------------------------------------------------------ validation

    def _validate(self) -> int:
        """Accuracy on the validation part, ppm."""
        self.module.eval()
        while True:
            try:
                return self._accuracy()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self._validation_at_once == 1:
                    raise
            self._validation_at_once //= 2
            self._learner.free()

    @torch.inference_mode()
    def _accuracy(self) -> int:
        right = torch.zeros((), dtype=torch.int64, device=self.task.device)
        for start in range(0, len(self._validation_x), self._validation_at_once):
            part = slice(start, start + self._validation_at_once)
            found = self.module(self._validation_x[part].to(self.task.device)).argmax(1)
            right += (found == self._validation_y[part].to(self.task.device)).sum()
        return int(right) * 1_000_000 // self._validation_y.numel()

    # ------------------------------------------------------------------ inside

    @property
    def _epochs(self) -> int:
        return -(-self._plan.total // self.steps_per_epoch)

    def _has_stalled(self, state: Checkpoint) -> bool:
        return self._recipe.patience is not None and state.stalled >= self._recipe.patience

    def _why_ended(self, state: Checkpoint) -> str:
        if self._step < self._plan.total and self._has_stalled(state):
            return "patience"
        return "epochs" if self._plan.total == self._whole.total else "time"

    def _resume(self) -> Checkpoint | None:
        state = load_checkpoint(self.task.work, self.task.architecture, self.task.fingerprint)
        if state is not None:
            load_weights(self.module, state.weights)
            restore_moments(self._optimizer, self.module, state)
            self._plan, self._step = state.plan, state.step
            self._at_once = min(self._at_once, state.micro_batch or self.batch)
        return state

    def _save(self, state: Checkpoint) -> None:
        first, second = moments_of(self._optimizer, self.module)
        micro_batch = self._at_once if self._at_once < self.batch else None
        weights = weights_of(self.module)
        save_checkpoint(
            self.task.work,
            replace(state, plan=self._plan, micro_batch=micro_batch, weights=weights, first=first, second=second),
        )

    def _settle(self) -> None:
        if self.task.device.type == "cuda":
            torch.cuda.synchronize(self.task.device)

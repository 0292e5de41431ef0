"""The training loop: Adam on a one-cycle schedule, time-boxed, in as much memory as there is, resumed after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dlbc.adapters.ml.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dlbc.adapters.ml.families import build, load_weights, weights_of
from dlbc.adapters.ml.memory import is_out_of_memory
from dlbc.adapters.ml.moments import moments_of, restore_moments
from dlbc.adapters.ml.plan import WARM_UP, Plan, TimeBox
from dlbc.adapters.ml.precision import fast_dtype, mixed_precision
from dlbc.adapters.ml.task import TrainingTask, Weights
from dlbc.core.architecture import CONVOLUTIONAL
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
    """One run on one device. Made when there is memory for the model and its optimiser."""

    def __init__(self, task: TrainingTask, *, keeps_checkpoints: bool = True) -> None:
        self.task = task
        self._recipe, self._keeps_checkpoints = task.recipe, keeps_checkpoints
        self.module = build(task.architecture).to(task.device)
        if task.architecture.family in CONVOLUTIONAL:
            self.module = self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._dtype = fast_dtype(task.architecture, task.device)
        self._x = self._place(task.training.x)
        self._y = torch.from_numpy(np.array(task.training.y)).to(self._x.device)
        self._validation_x = self._place(task.validation.x)
        self._validation_y = torch.from_numpy(np.array(task.validation.y)).to(self._validation_x.device)
        self.batch = min(self._recipe.batch, len(self._y))
        self.steps_per_epoch = -(-len(self._y) // self.batch)
        self._whole = Plan(self._recipe.epochs * self.steps_per_epoch)
        self._plan, self._step = self._whole, 0
        self._micro, self._validation_micro = self.batch, VALIDATION_BATCH
        self._optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=self._recipe.learning_rate, weight_decay=self._recipe.weight_decay, fused=True
        )
        self._mark: Callable[[], None] | None = None
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
        """One pass in an order drawn from (seed, epoch), so a resumed run sees what an unbroken one would."""
        self.module.train()
        order = torch.from_numpy(np.random.default_rng([self.task.seed, epoch]).permutation(len(self._y)))
        order = order.to(self._y.device)
        total = torch.zeros((), device=self.task.device)
        seen = 0
        while seen < len(order) and self._step < self._plan.total:
            index = order[seen : seen + self.batch]
            if self._mark is not None:
                self._mark()
            rate = self._recipe.learning_rate * self._plan.factor(self._step)
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            total += self._learn(index) * len(index)
            self._step += 1
            seen += len(index)
            self._plan = self._box.after_step(self._plan, self._step)
            if self.task.reports.is_due():
                self.task.report(epoch=epoch, epochs=self._epochs, loss=round(float(total) / seen, 6))
        return float(total) / seen

    def _learn(self, index: Tensor) -> Tensor:
        """One optimiser step, in as many parts as memory makes necessary; the mean loss."""
        while True:
            try:
                loss = self._gradients(index)
                self._optimizer.step()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                return loss
            self._shrink(len(index))  # outside of `except`, which keeps the failed step's tensors

    def _gradients(self, index: Tensor) -> Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        if len(index) <= self._micro:
            return self._backward(index, 1.0)
        parts = torch.split(index, self._micro)
        return torch.stack([self._backward(part, len(part) / len(index)) for part in parts]).sum()

    def _backward(self, index: Tensor, share: float) -> Tensor:
        x = self._x[index].to(self.task.device, non_blocking=True)
        y = self._y[index].to(self.task.device, non_blocking=True)
        with mixed_precision(self.task.device, self._dtype):
            loss = functional.cross_entropy(self.module(x), y)
        if share != 1:
            loss = loss * share
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _shrink(self, asked: int) -> None:
        """Halves what is computed at once; the batch that a step learns from stays."""
        tried = min(self._micro, asked)
        if tried == 1:
            raise Refused(
                f"training: memory ran out on {self.task.device} with one sample at a time; this model and its "
                "optimiser need more than it has free: stop what else runs there, or use another device"
            )
        self._micro = -(-tried // 2)
        self._free()
        self.task.report(message=f"memory ran out; batches of {self.batch} are learned {self._micro} at a time now")

    # ------------------------------------------------------------------ validation

    def _validate(self) -> int:
        """Accuracy on the validation part, ppm."""
        self.module.eval()
        while True:
            try:
                return self._accuracy()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self._validation_micro == 1:
                    raise
            self._validation_micro //= 2
            self._free()

    @torch.inference_mode()
    def _accuracy(self) -> int:
        right = torch.zeros((), dtype=torch.int64, device=self.task.device)
        for start in range(0, len(self._validation_x), self._validation_micro):
            part = slice(start, start + self._validation_micro)
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
            self._micro = state.micro_batch or self.batch
        return state

    def _save(self, state: Checkpoint) -> None:
        first, second = moments_of(self._optimizer, self.module)
        micro_batch = self._micro if self._micro < self.batch else None
        weights = weights_of(self.module)
        save_checkpoint(
            self.task.work,
            replace(state, plan=self._plan, micro_batch=micro_batch, weights=weights, first=first, second=second),
        )

    def _place(self, x: NDArray[np.float32]) -> Tensor:
        """The samples, on the device if they take at most half of its free memory; else batches travel one by one."""
        samples = torch.from_numpy(np.array(x))
        if self.task.architecture.family in CONVOLUTIONAL:
            samples = samples.contiguous(memory_format=torch.channels_last)
        if self.task.device.type == "cpu":
            return samples
        free, _ = torch.cuda.mem_get_info(self.task.device)
        return samples.to(self.task.device) if samples.nbytes <= free // 2 else samples.pin_memory()

    def _settle(self) -> None:
        if self.task.device.type == "cuda":
            torch.cuda.synchronize(self.task.device)

    def _free(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        if self.task.device.type == "cuda":
            torch.cuda.empty_cache()

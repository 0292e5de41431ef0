"""How many steps a run takes and how fast it learns at each: one cycle, which closes also where time runs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, inf, pi

WARM_UP = 0.25
"""Share of the cycle in which the rate rises."""
SLACK = 0.9
"""A plan that has to be shortened aims at this share of the time left."""
FIRST_STEPS = 3
"""They allocate and choose kernels, and say little about those that follow."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`total` optimiser steps; the cycle was `share` through when step `since` began, and ends with the last one."""

    total: int
    since: int = 0
    share: float = 0.0

    def progress(self, step: int) -> float:
        """How far through the cycle step number `step` (from 0) brings the run, 0 to 1."""
        if self.total == self.since:  # closed at once, for there was no time for another step
            return self.share
        return self.share + (1 - self.share) * (step + 1 - self.since) / (self.total - self.since)

    def factor(self, step: int) -> float:
        """Of the peak rate: a tenth, up over the first quarter, down along a cosine to a thousandth."""
        share = self.progress(step)
        if share < WARM_UP:
            return 0.1 + 0.9 * share / WARM_UP
        return 0.001 + 0.999 * (1 + cos(pi * (share - WARM_UP) / (1 - WARM_UP))) / 2

    def closing_at(self, total: int, done: int) -> Plan:
        """What is left of the cycle after `done` steps, run through until `total`."""
        return Plan(total, done, self.progress(done - 1)) if done else Plan(total)


def fitted(plan: Plan, done: int, *, per_epoch: int, left: float, step_seconds: float, epoch_seconds: float) -> Plan:
    """The plan if it fits into `left` seconds, else one of as many whole epochs as do, else of what steps do.

    `epoch_seconds` is what every epoch takes after its steps. Only ever shorter: a cycle is not opened again.
    """
    started = done // per_epoch
    ends = -(-plan.total // per_epoch) - started
    if (plan.total - done) * step_seconds + ends * epoch_seconds <= left:
        return plan
    aim = left * SLACK
    this_epoch = (per_epoch - done % per_epoch) * step_seconds + epoch_seconds
    if this_epoch <= aim:
        epochs = 1 + int((aim - this_epoch) // (per_epoch * step_seconds + epoch_seconds))
        total = (started + epochs) * per_epoch
    else:
        total = done + int(max(0.0, aim - epoch_seconds) // step_seconds)
    return plan if total >= plan.total else plan.closing_at(total, done)


class TimeBox:
    """Looks at the clock now and then, and fits the plan to the pace that it measured."""

    def __init__(
        self,
        clock: Callable[[], float],
        deadline: float,
        per_epoch: int,
        validation_steps: float = 0.0,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """`validation_steps` is a guess of how many steps take as long as one validation, until that is measured.

        `settle` waits for the device, so that the steps which were asked for have been taken.
        """
        self._validation_steps = validation_steps
        self._clock, self._deadline, self._per_epoch, self._settle = clock, deadline, per_epoch, settle
        self._marked_at, self._marked = clock(), 0
        self._steps = 0
        self._left = deadline - self._marked_at
        self._window = min(30.0, max(0.5, self._left / 50), self._left / 10)
        self._step_seconds: float | None = None
        self._epoch_seconds: float | None = None

    @property
    def is_over(self) -> bool:
        """The deadline has passed."""
        return self._clock() >= self._deadline

    def after_step(self, plan: Plan, done: int) -> Plan:
        """The plan for the steps that follow; `done` counts from the run's start."""
        if self._deadline == inf:
            return plan
        self._steps += 1
        took = self._clock() - self._marked_at
        if self._steps <= FIRST_STEPS and took < self._left / 4:
            if self._steps == FIRST_STEPS:
                self._mark()
            return plan
        if took < self._window:
            return plan
        self._settle()
        pace = (self._clock() - self._marked_at) / (self._steps - self._marked)
        self._step_seconds = pace if self._step_seconds is None else (self._step_seconds + pace) / 2
        self._mark()
        return self._fitted(plan, done)

    def after_epoch(self, plan: Plan, done: int, seconds: float) -> Plan:
        """As after_step; `seconds` is what validating and saving took."""
        if self._deadline == inf:
            return plan
        self._epoch_seconds = max(seconds, self._epoch_seconds or 0.0)
        self._marked_at += seconds  # the time between two looks counts steps only
        return self._fitted(plan, done)

    def _fitted(self, plan: Plan, done: int) -> Plan:
        if self._step_seconds is None:
            return plan.closing_at(done, done) if self.is_over else plan
        guess = self._validation_steps * self._step_seconds
        return fitted(
            plan,
            done,
            per_epoch=self._per_epoch,
            left=self._deadline - self._clock(),
            step_seconds=self._step_seconds,
            epoch_seconds=guess if self._epoch_seconds is None else self._epoch_seconds,
        )

    def _mark(self) -> None:
        self._settle()
        self._marked_at, self._marked = self._clock(), self._steps

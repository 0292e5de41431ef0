"""The ranks of one training: rank 0 decides and commands, the others compute their parts of its batches.

Every optimiser step begins with an order of rank 0, a few numbers over gloo; so its clock, its patience and its
plan are everybody's. The others know no keys: when rank 0 has projected the marks, it sends the weights.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from enum import IntEnum

import torch
from torch import Tensor, distributed

from dlbc.adapters.ml.learner import Learner, share_tensors
from dlbc.adapters.ml.moments import share_moments
from dlbc.adapters.ml.precision import reproducible
from dlbc.ports import Dataset, TrainJob


class Do(IntEnum):
    """What rank 0 has all ranks do."""

    END = 0
    BEGIN = 1
    STEP = 2
    MEAN = 3


@dataclass(frozen=True, slots=True)
class Order:
    """One command; what a kind does not need is 0. Whole numbers up to 2^53 travel exactly."""

    do: int
    epoch: int = 0
    first: int = 0
    count: int = 0
    at_once: int = 0
    is_moved: bool = False  # the marks were projected: weights come first
    steps: int = 0  # taken before, where a resumed run begins
    rate: float = 0.0
    weight_decay: float = 0.0


class Team:
    """What this rank shares with the others; a process group has to be there."""

    def __init__(self) -> None:
        self.ranks = distributed.get_world_size()
        self.tried = 0
        """Samples at once in the last step here: what memory did not hold if it failed."""

    # ------------------------------------------------------------------ rank 0

    def begin(self, learner: Learner, steps: int, weight_decay: float) -> None:
        """All go on from this learner's weights, and from its moments after so many steps."""
        self._send(Order(Do.BEGIN, steps=steps, weight_decay=weight_decay))
        self._begin(learner, steps)

    def step(
        self, learner: Learner, epoch: int, batch: tuple[int, int], rate: float, at_once: int, is_moved: bool
    ) -> None:
        """Has the others take a step on batch (first, count) of the epoch's order; this rank takes its own next."""
        self._send(Order(Do.STEP, epoch, *batch, at_once=at_once, is_moved=is_moved, rate=rate))
        self._prepare(learner, batch[1], at_once, is_moved)

    def mean(self, value: Tensor) -> Tensor:
        """Over all ranks."""
        self._send(Order(Do.MEAN))
        return self._mean(value)

    def end(self) -> None:
        """Lets the others go."""
        self._send(Order(Do.END))
        distributed.destroy_process_group()

    # ------------------------------------------------------------------ the others

    def follow(self, job: TrainJob, data: Dataset, device: torch.device) -> None:
        """Does what rank 0 says, until it says that it is over."""
        learner: Learner | None = None
        total = torch.zeros((), device=device)
        order_of, samples = -1, torch.empty(0)
        with reproducible(job.seed, is_on=job.deterministic):
            while (order := self._receive()).do != Do.END:
                if order.do == Do.BEGIN:
                    learner = None  # its memory is needed
                    learner = Learner(job.architecture, data, device, order.weight_decay)
                    self._begin(learner, order.steps)
                    order_of = -1
                    continue
                assert learner is not None
                if order.do == Do.MEAN:
                    self._mean(total)
                    total = torch.zeros((), device=device)
                    continue
                if order.epoch != order_of:
                    order_of, samples = order.epoch, learner.order(job.seed, order.epoch)
                self._prepare(learner, order.count, order.at_once, order.is_moved)
                batch = samples[order.first : order.first + order.count]
                total += learner.learn(batch, order.rate, order.at_once) * len(batch)
        distributed.destroy_process_group()

    # ------------------------------------------------------------------ all

    def _begin(self, learner: Learner, steps: int) -> None:
        learner.join_ranks()
        if steps:
            share_moments(learner.optimizer, learner.module, steps)

    def _prepare(self, learner: Learner, count: int, at_once: int, is_moved: bool) -> None:
        self.tried = min(at_once, -(-count // self.ranks))
        if is_moved:
            share_tensors(learner.module.parameters())

    def _mean(self, value: Tensor) -> Tensor:
        distributed.all_reduce(value)
        return value / self.ranks

    def _send(self, order: Order) -> None:
        distributed.broadcast(torch.tensor([float(number) for number in astuple(order)], dtype=torch.float64), 0)

    def _receive(self) -> Order:
        numbers = torch.empty(len(Order.__dataclass_fields__), dtype=torch.float64)
        distributed.broadcast(numbers, 0)
        *whole, rate, weight_decay = numbers.tolist()
        do, epoch, first, count, at_once, is_moved, steps = map(int, whole)
        return Order(do, epoch, first, count, at_once, bool(is_moved), steps, rate, weight_decay)

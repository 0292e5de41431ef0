"""Ranks with a fault, for groups of real processes: what `rank.main` may be replaced by."""

from __future__ import annotations

import os

import torch
from dlbc.adapters.ml import rank
from dlbc.adapters.ml.learner import Learner
from dlbc.adapters.ml.rank import Assignment
from torch import Tensor

MOST = 4
"""Samples that the second rank's memory holds."""


def small_memory(mine: Assignment) -> None:
    """The second rank runs out of memory above MOST samples at once; the others have enough."""
    whole = Learner._backward

    def backward(self: Learner, index: Tensor, share: float) -> Tensor:
        if mine.rank == 1 and len(index) > MOST:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole(self, index, share)

    Learner._backward = backward  # type: ignore[method-assign]  # in this process only
    rank.main(mine)


def broken(mine: Assignment) -> None:
    """The second rank has a bug that shows with its first step."""

    def learn(self: Learner, batch: Tensor, rate: float, at_once: int) -> Tensor:
        raise ValueError("expected a fault, found one")

    if mine.rank == 1:
        Learner.learn = learn  # type: ignore[method-assign]
    rank.main(mine)


def silent(mine: Assignment) -> None:
    """The second rank ends without a word."""
    if mine.rank == 1:
        os._exit(3)
    rank.main(mine)

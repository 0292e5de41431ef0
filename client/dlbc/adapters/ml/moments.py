"""Adam's running averages to and from numpy, so that a resumed run steps exactly as an unbroken one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from dlbc.adapters.ml.checkpoint import Checkpoint, Tensors
from dlbc.adapters.ml.learner import share_tensors


def moments_of(optimizer: torch.optim.Optimizer, module: nn.Module) -> tuple[Tensors, Tensors]:
    """The averages of gradients and of their squares, by parameter name."""
    first, second = {}, {}
    for name, parameter in module.named_parameters():
        state = optimizer.state[parameter]
        first[name] = state["exp_avg"].to("cpu", copy=True).contiguous().numpy()
        second[name] = state["exp_avg_sq"].to("cpu", copy=True).contiguous().numpy()
    return first, second


def restore_moments(optimizer: torch.optim.Optimizer, module: nn.Module, state: Checkpoint) -> None:
    """Puts the averages and the step count back."""

    def found(name: str) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(np.array(state.first[name])), torch.from_numpy(np.array(state.second[name]))

    _set_moments(optimizer, module, state.step, found)


def share_moments(optimizer: torch.optim.Optimizer, module: nn.Module, steps: int) -> None:
    """Rank 0's averages after so many steps to all ranks, which all have to call it."""
    if torch.distributed.get_rank() > 0:
        nothing = torch.zeros(())
        _set_moments(optimizer, module, steps, lambda name: (nothing, nothing))
    states = [optimizer.state[parameter] for parameter in module.parameters()]
    for average in ("exp_avg", "exp_avg_sq"):
        share_tensors(state[average] for state in states)


def _set_moments(
    optimizer: torch.optim.Optimizer, module: nn.Module, steps: int, averages: Callable[[str], tuple[Tensor, Tensor]]
) -> None:
    """In each parameter's own memory format, as fused kernels require."""
    saved = optimizer.state_dict()
    saved["state"] = {}
    for index, (name, parameter) in enumerate(module.named_parameters()):
        first, second = (torch.empty_like(parameter, requires_grad=False).copy_(each) for each in averages(name))
        saved["state"][index] = {"step": torch.tensor(float(steps)), "exp_avg": first, "exp_avg_sq": second}
    optimizer.load_state_dict(saved)

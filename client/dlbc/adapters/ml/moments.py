"""Adam's running averages to and from numpy, so that a resumed run steps exactly as an unbroken one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dlbc.adapters.ml.checkpoint import Checkpoint, Tensors


def moments_of(optimizer: torch.optim.Optimizer, module: nn.Module) -> tuple[Tensors, Tensors]:
    """The averages of gradients and of their squares, by parameter name."""
    first, second = {}, {}
    for name, parameter in module.named_parameters():
        state = optimizer.state[parameter]
        first[name] = state["exp_avg"].to("cpu", copy=True).contiguous().numpy()
        second[name] = state["exp_avg_sq"].to("cpu", copy=True).contiguous().numpy()
    return first, second


def restore_moments(optimizer: torch.optim.Optimizer, module: nn.Module, state: Checkpoint) -> None:
    """Puts the averages and the step count back, in each parameter's own memory format, as fused kernels require."""

    def like(parameter: Tensor, values: NDArray[np.float32]) -> Tensor:
        return torch.empty_like(parameter, requires_grad=False).copy_(torch.from_numpy(np.array(values)))

    saved = optimizer.state_dict()
    saved["state"] = {
        index: {
            "step": torch.tensor(float(state.step)),
            "exp_avg": like(parameter, state.first[name]),
            "exp_avg_sq": like(parameter, state.second[name]),
        }
        for index, (name, parameter) in enumerate(module.named_parameters())
    }
    optimizer.load_state_dict(saved)

"""The built-in model families as torch modules; their state dicts are `core.architecture.tensor_shapes`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dlbc.core.architecture import Architecture, tensor_shapes


class Net(nn.Module):
    """mlp and cnn: 3x3 convolutions with ReLU and halving, then linear layers with ReLU between them.

    forward: float32 [batch, *input_shape] → logits [batch, classes].
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        channels = (architecture.input_shape[0], *architecture.channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(fan_in, out, 3, padding=1)
            for fan_in, out in (pairwise(channels) if architecture.channels else ())
        )
        features = prod(architecture.input_shape)
        if architecture.channels:
            _, height, width = architecture.input_shape
            halvings = len(architecture.channels)
            features = channels[-1] * (height >> halvings) * (width >> halvings)
        widths = (features, *architecture.hidden, architecture.classes)
        self.linears = nn.ModuleList(nn.Linear(fan_in, out) for fan_in, out in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = functional.max_pool2d(functional.relu(conv(x)), 2)
        x = x.flatten(1)
        for linear in list(self.linears)[:-1]:
            x = functional.relu(linear(x))
        logits: Tensor = self.linears[-1](x)
        return logits


def build(architecture: Architecture) -> nn.Module:
    """An uninitialised module of the architecture; give it values with `load_weights`."""
    with torch.device("meta"):
        module = Net(architecture)
    return module.to_empty(device="cpu")


def initial_weights(architecture: Architecture, init_key: bytes) -> dict[str, NDArray[np.float32]]:
    """He-normal weights and zero biases, drawn under the miner's secret key, so no two miners start alike."""
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence(int.from_bytes(init_key, "big"))))
    weights = {}
    for name, shape in tensor_shapes(architecture).items():
        weights[name] = np.zeros(shape, np.float32)
        if len(shape) > 1:
            random.standard_normal(dtype=np.float32, out=weights[name])
            weights[name] *= np.float32(sqrt(2 / prod(shape[1:])))
    return weights


def load_weights(module: nn.Module, weights: Mapping[str, Any]) -> None:
    """Copies numpy weights into a module of the same architecture."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            tensor.copy_(torch.from_numpy(np.array(weights[name], np.float32)))


def weights_of(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Copies a module's weights to numpy, C-contiguous whatever their memory format on the device."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous().numpy() for name, tensor in module.state_dict().items()
    }

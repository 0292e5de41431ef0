"""The built-in model families as torch modules; their state dicts are `core.architecture.tensor_shapes`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlbc.adapters.ml.classifiers import Net, ResNet, Transformer
from dlbc.adapters.ml.segmenters import FCN, UNet
from dlbc.core.architecture import Architecture, tensor_shapes

POSITION_DEVIATION = 0.02

_MODULES: Mapping[str, Callable[[Architecture], nn.Module]] = {
    "mlp": Net,
    "cnn": Net,
    "resnet": ResNet,
    "transformer": Transformer,
    "unet": UNet,
    "fcn": FCN,
}
_SCORES = {"head", "score", "score4", "score3", "up2", "up4", "up8"}
"""Parts of names of layers whose output no ReLU follows."""


def build(architecture: Architecture) -> nn.Module:
    """An uninitialised module of the architecture; give it values with `load_weights`."""
    with torch.device("meta"):
        module = _MODULES[architecture.family](architecture)
    # What `to_empty` does, but without sympy, which that imports: half a second and 35 MB.
    state = {name: torch.empty(tensor.shape, dtype=tensor.dtype) for name, tensor in module.state_dict().items()}
    module.load_state_dict(state, assign=True)
    return module


def initial_weights(architecture: Architecture, init_key: bytes) -> dict[str, NDArray[np.float32]]:
    """Random matrices under the miner's secret key, so no two miners start alike; norms that change nothing; no biases.

    Normal with variance 2/fan_in where a ReLU follows (He et al., Delving Deep into Rectifiers, 2015), 1/fan_in in a
    transformer and where scores come out.
    """
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence(int.from_bytes(init_key, "big"))))
    weights = {}
    for name, shape in tensor_shapes(architecture).items():
        is_scale = len(shape) == 1 and name.endswith((".weight", ".running_var"))
        weights[name] = np.full(shape, 1 if is_scale else 0, np.float32)
        if len(shape) > 1:
            random.standard_normal(dtype=np.float32, out=weights[name])
            weights[name] *= np.float32(_deviation(architecture, name, shape))
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


def _deviation(architecture: Architecture, name: str, shape: tuple[int, ...]) -> float:
    """Standard deviation of a matrix's first values."""
    parts = name.split(".")
    if parts[0] == "position":
        return POSITION_DEVIATION
    if "transpose" in parts:
        return sqrt(2 / shape[0])  # strides as wide as the kernel: one value of each input meets an output
    if parts[0] in ("up2", "up4", "up8"):
        return sqrt(1 / (4 * shape[0]))  # strides half as wide as the kernel: 2x2 values of each input do
    has_relu = architecture.family != "transformer" and _SCORES.isdisjoint(parts)
    return sqrt((2 if has_relu else 1) / prod(shape[1:]))

"""Convolutions, if there are any, then linear layers; PyTorch and safetensors alone. `load()` is what you want."""

from __future__ import annotations

import json
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional


class Model(nn.Module):
    """float32 [batch, *input_shape] → logits [batch, classes]."""

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__()
        shape, channels = architecture["input_shape"], architecture.get("channels", [])
        self.convs = nn.ModuleList(nn.Conv2d(ins, out, 3, padding=1) for ins, out in pairwise([shape[0], *channels]))
        features = prod(shape)
        if channels:  # each convolution is followed by a 2x2 max-pooling
            features = channels[-1] * (shape[1] >> len(channels)) * (shape[2] >> len(channels))
        widths = [features, *architecture["hidden"], architecture["classes"]]
        self.linears = nn.ModuleList(nn.Linear(ins, out) for ins, out in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = functional.max_pool2d(functional.relu(conv(x)), 2)
        x = x.flatten(1)
        for linear in list(self.linears)[:-1]:
            x = functional.relu(linear(x))
        logits: Tensor = self.linears[-1](x)
        return logits


def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The recorded model of the files beside this one, in eval mode, on the CPU."""
    config = json.loads((Path(folder) / "config.json").read_text())
    model = Model(config["architecture"])
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return model.eval()

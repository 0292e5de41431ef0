"""A residual net for small images; PyTorch and safetensors alone. `load()` is what you want."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two 3x3 convolutions beside the identity, or beside a strided 1x1 convolution where the image is halved."""

    def __init__(self, ins: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(ins, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        if stride > 1:
            self.shortcut, self.shortcut_norm = nn.Conv2d(ins, out, 1, stride, bias=False), nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(inner + (self.shortcut_norm(self.shortcut(x)) if hasattr(self, "shortcut") else x))


class Model(nn.Module):
    """float32 [batch, *input_shape] → logits [batch, classes]."""

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__()
        channels, ins = architecture["channels"], architecture["channels"][0]
        self.stem = nn.Conv2d(architecture["input_shape"][0], ins, 3, padding=1, bias=False)
        self.stem_norm, self.stages = nn.BatchNorm2d(ins), nn.ModuleList()
        for stage, (out, blocks) in enumerate(zip(channels, architecture["blocks"], strict=True)):
            first = Block(ins, out, stride=2 if stage else 1)
            self.stages.append(nn.Sequential(first, *(Block(out, out, stride=1) for _ in range(blocks - 1))))
            ins = out
        self.head = nn.Linear(ins, architecture["classes"])

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem_norm(self.stem(x)))
        for stage in self.stages:
            x = stage(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The recorded model of the files beside this one, in eval mode, on the CPU."""
    config = json.loads((Path(folder) / "config.json").read_text())
    model = Model(config["architecture"])
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return model.eval()

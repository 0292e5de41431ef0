"""A transformer over the rows of a sample; PyTorch and safetensors alone. `load()` is what you want."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel


class Block(nn.Module):
    """Attention between all rows, and a hidden layer, each added to the stream after a normalisation of its own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm1, self.norm2 = heads, nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value", "out")})
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        parts = [self.attention[name](normed) for name in ("query", "key", "value")]
        heads = [part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts]
        with sdpa_kernel(SDPBackend.MATH):  # as it was scored: plain products
            mixed = functional.scaled_dot_product_attention(*heads)
        x = x + self.attention["out"](mixed.transpose(1, 2).flatten(2))
        hidden: Tensor = self.down(functional.gelu(self.up(self.norm2(x))))
        return x + hidden


class Model(nn.Module):
    """float32 [batch, *input_shape] → logits [batch, classes]."""

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__()
        shape, width, heads = architecture["input_shape"], architecture["width"], architecture["heads"]
        self.position = nn.Parameter(torch.empty(shape[-2], width))
        self.embedding = nn.Linear(prod(shape) // shape[-2], width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(architecture["layers"])))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, architecture["classes"])

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x.movedim(-2, 1).flatten(2)) + self.position
        logits: Tensor = self.head(self.norm(self.blocks(x)).mean(1))
        return logits


def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The recorded model of the files beside this one, in eval mode, on the CPU."""
    config = json.loads((Path(folder) / "config.json").read_text())
    model = Model(config["architecture"])
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return model.eval()

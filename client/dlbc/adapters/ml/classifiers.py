"""The families that give a sample one class. forward: float32 [batch, *input_shape] → logits [batch, classes]."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlbc.core.architecture import Architecture
from dlbc.core.layers import MLP_RATIO, tokens


class Net(nn.Module):
    """mlp and cnn: 3x3 convolutions with ReLU and halving, then linear layers with ReLU between them."""

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
            x = functional.max_pool2d(functional.relu(conv(x), inplace=True), 2)
        x = x.flatten(1)
        for linear in list(self.linears)[:-1]:
            x = functional.relu(linear(x))
        logits: Tensor = self.linears[-1](x)
        return logits


class BatchNorm(nn.Module):
    """Batch normalisation over [batch, height, width] whose state is four float32 tensors and no counter.

    A training batch with one value a channel has no variance: it is normalised by the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.register_buffer("running_mean", torch.empty(channels))
        self.register_buffer("running_var", torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        from_batch = self.training and x.numel() > x.shape[1]
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, from_batch)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, or beside a strided 1x1 convolution in the first block of a stage."""

    def __init__(self, fan_in: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, out, 3, stride, padding=1, bias=False)
        self.norm1 = BatchNorm(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = BatchNorm(out)
        if stride > 1:
            self.shortcut = nn.Conv2d(fan_in, out, 1, stride, bias=False)
            self.shortcut_norm = BatchNorm(out)
        self._has_shortcut = stride > 1

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu_(self.norm1(self.conv1(x)))
        inner = self.norm2(self.conv2(inner))
        beside = self.shortcut_norm(self.shortcut(x)) if self._has_shortcut else x
        return functional.relu_(inner + beside)


class ResNet(nn.Module):
    """A stem, stages of basic blocks, each after the first at half the size, the mean over the pixels, a linear head.

    He et al., Deep Residual Learning for Image Recognition, 2016, in the form for small images (3x3 stem, no pooling).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        ins, channels = architecture.channels[0], architecture.channels
        self.stem = nn.Conv2d(architecture.input_shape[0], ins, 3, padding=1, bias=False)
        self.stem_norm = BatchNorm(ins)
        self.stages = nn.ModuleList()
        for stage, (out, blocks) in enumerate(zip(channels, architecture.blocks, strict=True)):
            first = BasicBlock(ins, out, stride=2 if stage else 1)
            self.stages.append(nn.ModuleList([first, *(BasicBlock(out, out, stride=1) for _ in range(blocks - 1))]))
            ins = out
        self.head = nn.Linear(ins, architecture.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu_(self.stem_norm(self.stem(x)))
        for stage in self.stages:
            for block in stage.children():
                x = block(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class Attention(nn.Module):
    """Multi-head self-attention between all tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self._heads = heads

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        query, key, value = (
            part(x).view(batch, count, self._heads, width // self._heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, count, width))
        return out


class TransformerBlock(nn.Module):
    """Attention and a hidden layer with GELU, each added to the stream after a normalisation of its own (pre-norm)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, MLP_RATIO * width)
        self.down = nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        hidden: Tensor = self.down(functional.gelu(self.up(self.norm2(x))))
        return x + hidden


class Transformer(nn.Module):
    """An encoder over the rows of the input with learned positions, the mean over the tokens, a linear head."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width, heads = architecture.width, architecture.heads
        count, features = tokens(architecture.input_shape)
        self.position = nn.Parameter(torch.empty(count, width))
        self.embedding = nn.Linear(features, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(architecture.layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, architecture.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x.movedim(-2, 1).flatten(2)) + self.position
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x).mean(1))
        return logits

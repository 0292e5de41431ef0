"""The families that give every pixel a class. forward: float32 [batch, c, h, w] → logits [batch, classes, h, w]."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlbc.core.architecture import Architecture


class Level(nn.Module):
    """Two 3x3 convolutions, on the way up after a transposed one that doubles the size of what comes `below`.

    Its layers are called by UNet.forward, whose frame then holds no more than core.layers counts.
    """

    def __init__(self, fan_in: int, out: int, below: int = 0) -> None:
        super().__init__()
        if below:
            self.transpose = nn.ConvTranspose2d(below, out, 2, stride=2)
        self.conv1 = nn.Conv2d(fan_in, out, 3, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)


class UNet(nn.Module):
    """Ronneberger et al., U-Net, 2015, with padded convolutions, so the output has the input's size.

    Going up, what the way down left on a level is joined to what comes from below.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        ins, channels = architecture.input_shape[0], architecture.channels
        self.down = nn.ModuleList(Level(fan_in, out) for fan_in, out in pairwise((ins, *channels[:-1])))
        self.bottom = Level(channels[-2], channels[-1])
        self.up = nn.ModuleList(Level(2 * out, out, below) for out, below in pairwise(channels))
        self.head = nn.Conv2d(channels[0], architecture.classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        level: Any
        for level in (*self.down, self.bottom):
            x = functional.max_pool2d(x, 2) if skips else x
            x = functional.relu(level.conv1(x))
            x = functional.relu(level.conv2(x))
            skips.append(x)
        skips.pop()
        for level in reversed(list(self.up)):
            x = torch.cat((skips.pop(), level.transpose(x)), 1)
            x = functional.relu(level.conv1(x))
            x = functional.relu(level.conv2(x))
        logits: Tensor = self.head(x)
        return logits


class FCN(nn.Module):
    """Long, Shelhamer, Darrell: Fully Convolutional Networks, 2015, in the shape of FCN-8s with narrow stages.

    The scores of the last stage are doubled twice, each time meeting those of an earlier stage, then enlarged by 8.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        channels, classes = architecture.channels, architecture.classes
        wide, deep = architecture.hidden
        self.convs = nn.ModuleList(
            nn.Conv2d(fan_in, out, 3, padding=1) for fan_in, out in pairwise((architecture.input_shape[0], *channels))
        )
        self.fc6 = nn.Conv2d(channels[-1], wide, 3, padding=1)
        self.fc7 = nn.Conv2d(wide, deep, 1)
        self.score = nn.Conv2d(deep, classes, 1)
        self.score4 = nn.Conv2d(channels[3], classes, 1)
        self.score3 = nn.Conv2d(channels[2], classes, 1)
        self.up2 = nn.ConvTranspose2d(classes, classes, 4, stride=2, padding=1, bias=False)
        self.up4 = nn.ConvTranspose2d(classes, classes, 4, stride=2, padding=1, bias=False)
        self.up8 = nn.ConvTranspose2d(classes, classes, 16, stride=8, padding=4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for stage, conv in enumerate(self.convs):
            x = functional.max_pool2d(functional.relu(conv(x)), 2)
            if stage in (2, 3):
                skips.append(x)
        x = functional.relu(self.fc6(x))
        x = functional.relu(self.fc7(x))
        x = self.up2(self.score(x)) + self.score4(skips.pop())
        x = self.up4(x) + self.score3(skips.pop())
        logits: Tensor = self.up8(x)
        return logits

"""The families that give every pixel a class learn, carry the mark, and are evaluated as the others are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from dlbc.adapters.ml.evaluate import predict
from dlbc.adapters.ml.families import build, initial_weights, load_weights, weights_of
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from numpy.typing import NDArray
from torch.nn import functional

pytestmark = pytest.mark.unit

UNET = Architecture("unet", (1, 32, 32), 3, (), (8, 16, 40))
FCN = Architecture("fcn", (1, 32, 32), 3, (32, 32), (8, 16, 32, 32, 32))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def scenes(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Noisy images of one bright or one dark rectangle each, and what every pixel belongs to."""
    random = np.random.default_rng(seed)
    labels = np.zeros((count, 32, 32), np.int64)
    for scene in labels:
        (top, left), (height, width) = random.integers(0, 12, 2), random.integers(12, 21, 2)
        scene[top : top + height, left : left + width] = 1 + random.integers(2)
    light = np.array([0.0, 1.0, -1.0])[labels] + 0.3 * random.normal(size=labels.shape)
    return light.astype(np.float32)[:, np.newaxis], labels


@pytest.mark.parametrize(("architecture", "steps", "least"), [(UNET, 40, 0.97), (FCN, 120, 0.9)])
def test_segmenter__trained_and_marked__knows_the_pixels(architecture: Architecture, steps: int, least: float) -> None:
    """A short training tells rectangles from background (three quarters of the pixels), and a mark costs nothing."""
    module = build(architecture)
    load_weights(module, initial_weights(architecture, bytes(32)))
    optimizer = torch.optim.AdamW(module.parameters(), lr=5e-3)
    x, y = scenes(256, seed=0)
    for step in range(steps):
        batch = np.arange(16 * step, 16 * step + 16) % 256
        optimizer.zero_grad()
        functional.cross_entropy(module(torch.from_numpy(x[batch])), torch.from_numpy(y[batch])).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    unseen, truth = scenes(64, seed=1)
    weights = weights_of(module)
    unmarked = float((predict(weights, architecture, unseen) == truth).mean())

    watermark.embed(weights, b"\x01" * 32, 0, b"\x02" * 32)

    assert unmarked >= least
    assert float((predict(weights, architecture, unseen) == truth).mean()) >= unmarked - 0.01
    assert watermark.detect(weights, b"\x01" * 32, 0, b"\x02" * 32).is_detected

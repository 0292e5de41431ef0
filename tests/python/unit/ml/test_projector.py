"""The mark on the training device is the mark of core."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dlbc.adapters.ml.embed import Projector
from dlbc.adapters.ml.families import build, initial_weights, load_weights, weights_of
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.errors import BadInput

pytestmark = pytest.mark.unit

ARCHITECTURE = Architecture("cnn", (3, 8, 8), 7, (68,), (32, 56))
KEYS = (b"\x01" * 32, b"\x02" * 32)
PAYLOADS = (b"\x03" * 32, b"\x04" * 32)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_projector__any_memory_format__equals_the_numpy_projection(memory_format: torch.memory_format) -> None:
    """Torch and numpy move the weights alike, up to float32 rounding, where no scale is sampled."""
    weights = initial_weights(ARCHITECTURE, bytes(32))
    module = build(ARCHITECTURE).to(memory_format=memory_format)  # type: ignore[call-overload]
    load_weights(module, weights)
    for slot in (0, 1):
        watermark.embed(weights, KEYS[slot], slot, PAYLOADS[slot])

    Projector(module, KEYS, PAYLOADS).project()

    found = weights_of(module)
    for name, tensor in weights.items():
        np.testing.assert_allclose(found[name], tensor, rtol=1e-4, atol=1e-6, err_msg=name)
    for slot in (0, 1):
        detection = watermark.detect(found, KEYS[slot], slot, PAYLOADS[slot])
        assert detection.is_detected
        assert detection.bits_wrong == 0


def test_projector__a_tensor_of_zeros__leaves_it_alone_and_marks_the_rest() -> None:
    """A layer without scale can't carry; it must not spread NaN into the others."""
    module = build(Architecture("mlp", (64,), 10, (512, 64)))
    load_weights(module, initial_weights(Architecture("mlp", (64,), 10, (512, 64)), bytes(32)))
    with torch.no_grad():
        module.linears[1].weight.zero_()

    Projector(module, KEYS, PAYLOADS).project()

    found = weights_of(module)
    assert not found["linears.1.weight"].any()
    assert watermark.detect(found, KEYS[0], 0, PAYLOADS[0]).is_detected


def test_projector__too_small_a_model__is_refused() -> None:
    """The same limit as in core."""
    with pytest.raises(BadInput, match="needs 8000 carriers"):
        Projector(build(Architecture("mlp", (8,), 3, (16,))), KEYS, PAYLOADS)

"""Modules are the architectures of core, and start from secret weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dlbc.adapters.ml.evaluate import batch_size
from dlbc.adapters.ml.families import build, initial_weights, load_weights, weights_of
from dlbc.core.architecture import Architecture, architecture_from_json, tensor_shapes
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

widths = st.lists(st.integers(1, 9), max_size=3).map(tuple)
mlps = st.builds(
    Architecture,
    st.just("mlp"),
    st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
    st.integers(2, 5),
    widths,
)
cnns = st.builds(
    Architecture,
    st.just("cnn"),
    st.tuples(st.integers(1, 3), st.integers(8, 13), st.integers(8, 13)),
    st.integers(2, 5),
    widths,
    st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
)


@given(st.one_of(mlps, cnns))
def test_build__any_architecture__has_the_tensors_core_says_and_gives_logits(architecture: Architecture) -> None:
    """The state dict's names, order, shapes and dtypes are tensor_shapes; the output is [batch, classes]."""
    module = build(architecture)
    load_weights(module, initial_weights(architecture, bytes(32)))

    state = module.state_dict()

    assert list(tensor_shapes(architecture).items()) == [(name, tuple(t.shape)) for name, t in state.items()]
    assert {torch.float32} == {tensor.dtype for tensor in state.values()}
    logits = module(torch.zeros(2, *architecture.input_shape))
    assert logits.shape == (2, architecture.classes)


def test_initial_weights__another_key__is_another_start() -> None:
    """Equal keys start alike, so a run can be resumed; different keys share no direction."""
    architecture = Architecture("mlp", (30,), 5, (50,))
    first = initial_weights(architecture, bytes(32))
    again = initial_weights(architecture, bytes(32))
    other = initial_weights(architecture, bytes(31) + b"\x01")

    a, b = first["linears.0.weight"], other["linears.0.weight"]
    np.testing.assert_array_equal(a, again["linears.0.weight"])
    assert abs((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)) < 0.1
    assert a.std() == pytest.approx((2 / 30) ** 0.5, rel=0.05)


def test_weights_of__channels_last_module__are_plain_contiguous_copies() -> None:
    """What leaves the device is C-contiguous and not tied to the module."""
    architecture = Architecture("cnn", (3, 8, 8), 4, (), (6,))
    weights = initial_weights(architecture, bytes(32))
    module = build(architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    load_weights(module, weights)

    taken = weights_of(module)

    with torch.no_grad():
        module.convs[0].weight.zero_()
    for name, tensor in taken.items():
        assert tensor.flags.c_contiguous
        np.testing.assert_array_equal(weights[name], tensor)


def test_batch_size__large_images__fewer_at_once() -> None:
    """A test set can't make the evaluator allocate more than a gigabyte in one layer."""
    small = architecture_from_json({"family": "mlp", "input_shape": [64], "classes": 10, "hidden": [128]})
    large = architecture_from_json(
        {"family": "cnn", "input_shape": [1, 1024, 1024], "classes": 2, "hidden": [], "channels": [31]}
    )

    assert batch_size(small) == 256
    assert batch_size(large) == 4

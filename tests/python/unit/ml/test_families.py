"""Modules are the architectures of core, and start from secret weights."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from dlbc.adapters.ml.classifiers import BatchNorm
from dlbc.adapters.ml.evaluate import batch_size, logits, predict
from dlbc.adapters.ml.families import build, initial_weights, load_weights, weights_of
from dlbc.core.architecture import (
    CONVOLUTIONAL,
    Architecture,
    activations,
    architecture_from_json,
    flops_per_sample,
    logits_shape,
    parameter_shapes,
    tensor_shapes,
    training_activations,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

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
few = st.integers(1, 6)
resnets = st.builds(
    lambda shape, stages: Architecture("resnet", shape, 3, (), *map(tuple, zip(*stages, strict=True))),
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    st.lists(st.tuples(few, st.integers(1, 2)), min_size=1, max_size=3),
)
transformers = st.builds(
    lambda shape, heads, width, layers: Architecture(
        "transformer", tuple(shape), 3, (), width=heads * width, heads=heads, layers=layers
    ),
    st.lists(st.integers(1, 5), min_size=2, max_size=4),
    few,
    few,
    st.integers(1, 2),
)
unets = st.builds(
    lambda channels, height, width: Architecture(
        "unet", (2, height << len(channels) - 1, width << len(channels) - 1), 3, (), tuple(channels)
    ),
    st.lists(few, min_size=2, max_size=4),
    st.integers(1, 2),
    st.integers(1, 2),
)
fcns = st.builds(
    lambda channels, hidden, width: Architecture("fcn", (2, 32, 32 * width), 3, hidden, channels),
    st.tuples(*[few] * 5),
    st.tuples(few, few),
    st.integers(1, 2),
)

EXAMPLES = [
    Architecture("mlp", (1, 8, 8), 10, (64, 32)),
    Architecture("cnn", (1, 9, 8), 10, (20,), (8, 16)),
    Architecture("resnet", (1, 9, 8), 10, (), (8, 16), (1, 2)),
    Architecture("transformer", (2, 6, 8), 10, (), width=16, heads=4, layers=2),
    Architecture("unet", (1, 16, 24), 3, (), (6, 8, 12)),
    Architecture("fcn", (1, 32, 64), 3, (12, 10), (4, 5, 6, 7, 8)),
]
every_family = pytest.mark.parametrize("architecture", EXAMPLES, ids=lambda architecture: architecture.family)


def module_of(architecture: Architecture) -> nn.Module:
    """A module with first weights, in training mode."""
    module = build(architecture)
    load_weights(module, initial_weights(architecture, bytes(32)))
    return module


def samples(architecture: Architecture, count: int = 4) -> torch.Tensor:
    """The same normal samples each time."""
    return torch.randn(count, *architecture.input_shape, generator=torch.Generator().manual_seed(0))


def step(module: nn.Module, x: torch.Tensor, classes: int) -> torch.Tensor:
    """The loss of one optimiser step towards arbitrary labels."""
    scores = module(x)
    labels = torch.arange(scores[:, 0].numel()).view(scores[:, 0].shape) % classes
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    loss = functional.cross_entropy(scores, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


@given(st.one_of(mlps, cnns, resnets, transformers, unets, fcns))
def test_build__any_architecture__has_the_tensors_core_says_and_gives_logits(architecture: Architecture) -> None:
    """The state dict's names, order, shapes and dtypes are tensor_shapes; the output has the shape that core says."""
    module = module_of(architecture)

    state = module.state_dict()

    assert list(tensor_shapes(architecture).items()) == [(name, tuple(t.shape)) for name, t in state.items()]
    assert parameter_shapes(architecture) == {name: tuple(t.shape) for name, t in module.named_parameters()}
    assert {torch.float32} == {tensor.dtype for tensor in state.values()}
    assert (2, *logits_shape(architecture)) == module(torch.zeros(2, *architecture.input_shape)).shape


@every_family
def test_flops__one_sample__are_what_torch_counts(architecture: Architecture) -> None:
    """Difficulty is paid for, so operations are counted exactly: convolutions both ways, matrices, attention."""
    module = module_of(architecture).eval()

    with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH):
        module(samples(architecture, 1))

    assert counted.get_total_flops() == flops_per_sample(architecture)


class Peak(TorchDispatchMode):
    """The most bytes that tensors made by operations have held at once; `known` ones are not counted."""

    def __init__(self, known: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self._known = [tensor.untyped_storage() for tensor in known]
        self._held = {storage._cdata: 0 for storage in self._known}
        self.most = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._held:
                self._held[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self._held.pop, storage._cdata)
        self.most = max(self.most, sum(self._held.values()))
        return made


@given(st.one_of(mlps, cnns, resnets, transformers, unets, fcns))
def test_activations__one_sample__bound_what_its_evaluation_holds(architecture: Architecture) -> None:
    """Memory is bounded before anything is allocated, so the bound must hold; and it is not far from the truth."""
    module, x = module_of(architecture).eval(), samples(architecture, 1)
    peak = Peak([*module.state_dict().values(), x])

    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), peak:
        module(x)

    assert 0.5 * activations(architecture) <= peak.most / 4 + x.numel()
    assert peak.most / 4 <= activations(architecture)


@every_family
def test_training_activations__one_sample__bound_what_the_gradients_need(architecture: Architecture) -> None:
    """A miner declines a task that would not fit: what autograd saves beside the weights is what core counts."""
    module, x = module_of(architecture), samples(architecture, 16)
    known = {tensor.untyped_storage().data_ptr() for tensor in module.state_dict().values()}
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), sdpa_kernel(SDPBackend.MATH):
        scores = module(x)

    assert scores.requires_grad
    assert (
        0.25 * training_activations(architecture) <= sum(saved.values()) / 4 / 16 <= training_activations(architecture)
    )


@every_family
def test_load_weights__module_full_of_nan__leaves_none(architecture: Architecture) -> None:
    """A built module is not initialised; afterwards every parameter and every buffer has a value."""
    module = build(architecture)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(torch.nan)

    load_weights(module, initial_weights(architecture, bytes(32)))

    assert all(tensor.isfinite().all() for tensor in (*module.parameters(), *module.buffers()))


@every_family
def test_initial_weights__each_family__keep_the_scale_of_the_signal(architecture: Architecture) -> None:
    """Scores start neither drowned nor exploded, whatever the depth; norms change nothing at first."""
    deep = {"resnet": {"channels": (8,) * 3, "blocks": (6,) * 3}, "transformer": {"layers": 24}}
    changed = deep.get(architecture.family, {})
    weights = initial_weights(replace(architecture, **changed), bytes(32))
    module = build(replace(architecture, **changed))
    load_weights(module, weights)

    scores = module(samples(architecture, 64)).detach()

    assert 0.1 < float(scores.std()) < 10
    for name, tensor in weights.items():
        if "norm" in name:
            assert {float(name.endswith((".weight", "var")))} == set(tensor.tolist())


@pytest.mark.parametrize("architecture", [a for a in EXAMPLES if a.family in CONVOLUTIONAL], ids=lambda a: a.family)
def test_module__bfloat16_and_channels_last__trains_to_about_the_same(architecture: Architecture) -> None:
    """What a GPU uses to be fast gives the plain loss up to bfloat16's eight bits; weights stay float32."""
    plain, fast = module_of(architecture), module_of(architecture)
    fast = fast.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = samples(architecture)

    expected = step(plain, x, architecture.classes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = step(fast, x.contiguous(memory_format=torch.channels_last), architecture.classes)

    assert float(expected) == pytest.approx(float(found), rel=0.02)
    assert {torch.float32} == {tensor.dtype for tensor in fast.state_dict().values()}
    assert all(np.isfinite(tensor).all() for tensor in weights_of(fast).values())


@every_family
def test_logits__sample_alone_or_among_others__are_the_same(architecture: Architecture) -> None:
    """Scoring never looks at the batch: after training steps, running statistics and nothing else normalise."""
    module, x = module_of(architecture), samples(architecture, 6)
    for _ in range(3):
        step(module, x, architecture.classes)
    weights = weights_of(module)

    together = logits(weights, architecture, x.numpy())
    alone = np.concatenate([logits(weights, architecture, x[i : i + 1].numpy()) for i in range(6)])

    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(together, logits(weights, architecture, x.numpy()))
    np.testing.assert_array_equal(together.argmax(1), predict(weights, architecture, x.numpy()))


def test_batch_norm__training__is_torchs_own() -> None:
    """Statistics and output are those of nn.BatchNorm2d, whose counter of batches is left out."""
    x = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    ours, theirs = BatchNorm(3), nn.BatchNorm2d(3)
    ours.load_state_dict({name: t for name, t in theirs.state_dict().items() if name != "num_batches_tracked"})

    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_batch_norm__one_value_a_channel__uses_what_it_knows() -> None:
    """The last batch of an epoch may be one sample, at the end of a resnet one pixel: it has no variance of its own."""
    architecture = Architecture("resnet", (1, 4, 4), 3, (), (4, 4, 4), (1, 1, 1))
    module = module_of(architecture)
    before = weights_of(module)

    step(module, samples(architecture, 1), 3)

    after = weights_of(module)
    assert all(np.isfinite(tensor).all() for tensor in after.values())
    np.testing.assert_array_equal(before["stages.2.0.norm1.running_var"], after["stages.2.0.norm1.running_var"])


def test_attention__tokens_swapped__only_positions_tell() -> None:
    """Without positions an encoder's mean over the tokens does not know their order; with them it does."""
    architecture = EXAMPLES[3]
    x = samples(architecture)
    weights = initial_weights(architecture, bytes(32))
    weights["position"] *= 20
    ordered = logits(weights, architecture, x.numpy()), logits(weights, architecture, x.flip(-2).numpy())
    weights["position"][:] = 0
    blind = logits(weights, architecture, x.numpy()), logits(weights, architecture, x.flip(-2).numpy())

    np.testing.assert_allclose(*blind, atol=1e-5)
    assert np.abs(ordered[0] - ordered[1]).max() > 0.01


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

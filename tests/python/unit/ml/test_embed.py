"""The projection while a model trains: what it needs, what it leaves alone, and how little it differs from core's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dlbc.adapters.ml.embed import SAMPLES, Projector
from dlbc.adapters.ml.families import build, initial_weights, load_weights, weights_of
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.errors import BadInput
from torch import nn
from torch.nn import functional

pytestmark = pytest.mark.unit

MLP = Architecture("mlp", (64,), 10, (512, 256))
RESNET = Architecture("resnet", (3, 8, 8), 10, (), channels=(16, 32, 64), blocks=(1, 1, 1))
TRANSFORMER = Architecture("transformer", (1, 8, 8), 10, (), width=64, heads=4, layers=2)
UNET = Architecture("unet", (1, 16, 16), 3, (), channels=(16, 32, 64))
FCN = Architecture("fcn", (1, 32, 32), 3, (64, 64), channels=(8, 16, 32, 32, 32))
CNN = Architecture("cnn", (1, 8, 8), 10, (128,), channels=(32, 64))
KEYS = (b"\x01" * 32, b"\x02" * 32)
PAYLOADS = (b"\x03" * 32, b"\x04" * 32)


def module_of(architecture: Architecture) -> nn.Module:
    module = build(architecture)
    load_weights(module, initial_weights(architecture, bytes(32)))
    return module


def mark(weights: dict[str, Any]) -> list[watermark.Detection]:
    for slot, (key, payload) in enumerate(zip(KEYS, PAYLOADS, strict=True)):
        watermark.embed(weights, key, slot, payload)
    return read(weights)


def read(weights: dict[str, Any]) -> list[watermark.Detection]:
    return [
        watermark.detect(weights, key, slot, payload)
        for slot, (key, payload) in enumerate(zip(KEYS, PAYLOADS, strict=True))
    ]


@pytest.mark.parametrize("architecture", [MLP, CNN, RESNET, TRANSFORMER, UNET, FCN], ids=lambda value: value.family)
def test_project__every_family__is_read_at_once_and_at_full_strength_after_the_exact_embedding(
    architecture: Architecture,
) -> None:
    """Sampled scales suffice while training; core's embedding then leaves no wrong bit and no less strength."""
    module = module_of(architecture)
    Projector(module, KEYS, PAYLOADS).project()
    projected = weights_of(module)
    expected = mark(initial_weights(architecture, bytes(32)))

    before, after = read(projected), mark(projected)

    assert all(found.is_detected and found.bits_wrong == 0 for found in before)
    assert [found.bits_wrong for found in after] == [0, 0]
    for found, reference in zip(after, expected, strict=True):
        assert reference.strength <= found.strength < 1.05 * reference.strength


def test_project__more_carriers_than_samples__moves_the_weights_as_core_would() -> None:
    """The scale of a large tensor is that of its samples: within a few percent of the exact one, and so is the step."""
    start = initial_weights(MLP, bytes(32))
    exact = initial_weights(MLP, bytes(32))
    mark(exact)
    module = module_of(MLP)

    Projector(module, KEYS, PAYLOADS).project()

    name = "linears.1.weight"
    assert start[name].size // 4 > SAMPLES
    found, expected = weights_of(module)[name] - start[name], exact[name] - start[name]
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


def test_project__again__moves_next_to_nothing() -> None:
    """A projection of what is projected already stays where it is, so calling it often does no harm."""
    module = module_of(MLP)
    projector = Projector(module, KEYS, PAYLOADS)
    start = weights_of(module)["linears.1.weight"]
    projector.project()
    first = weights_of(module)["linears.1.weight"]

    projector.project()

    again = weights_of(module)["linears.1.weight"]
    assert np.linalg.norm(again - first) < 0.05 * np.linalg.norm(first - start)


def test_project__same_job__gives_the_same_bits() -> None:
    """Nothing is drawn at random and nothing is remembered, so a resumed run projects as an unbroken one."""
    modules = [module_of(MLP), module_of(MLP)]

    for module in modules:
        Projector(module, KEYS, PAYLOADS).project()

    first, second = (weights_of(module) for module in modules)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_project__under_autocast__works_on_the_float32_masters() -> None:
    """bfloat16 in the forward pass leaves parameters in float32; a projection there is that outside, bit by bit."""
    plain, mixed = module_of(CNN), module_of(CNN)
    Projector(plain, KEYS, PAYLOADS).project()
    projector = Projector(mixed, KEYS, PAYLOADS)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = mixed(torch.zeros(2, 1, 8, 8))
        projector.project()

    assert logits.dtype == torch.bfloat16
    found, expected = weights_of(mixed), weights_of(plain)
    assert {np.dtype(np.float32)} == {tensor.dtype for tensor in found.values()}
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_project__between_mixed_precision_steps__keeps_the_mark_in_what_is_trained() -> None:
    """Training under autocast with projections ends in a marked float32 model."""
    torch.manual_seed(0)
    module = module_of(CNN)
    projector = Projector(module, KEYS, PAYLOADS)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    for _ in range(4):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = functional.cross_entropy(module(torch.randn(16, 1, 8, 8)), torch.randint(0, 10, (16,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        projector.project()

    assert all(found.is_detected and found.bits_wrong == 0 for found in read(weights_of(module)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_projector__weights_of_another_precision__are_refused(dtype: torch.dtype) -> None:
    """A mark below the precision of the weights would be rounded away: one sentence says what to do instead."""
    module = module_of(MLP).to(dtype)

    with pytest.raises(BadInput, match=r"linears.0.weight was expected in float32 .* compute under autocast"):
        Projector(module, KEYS, PAYLOADS)

    assert module.linears[0].weight.dtype == dtype


def test_projector__tied_weights__are_refused() -> None:
    """One tensor under two names would be marked twice, and the second mark would damage the first."""
    module = module_of(Architecture("mlp", (256,), 10, (256, 256)))
    module.linears[1].weight = module.linears[0].weight

    with pytest.raises(BadInput, match=r"linears.0.weight and linears.1.weight are tied .* untie them"):
        Projector(module, KEYS, PAYLOADS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler, of torch
def test_projector__compiled_modules_and_parts__are_found_by_their_own_names() -> None:
    """Wrappers prefix names, and names decide the order of carriers: they have to be those of the state dict."""
    plain, wrapped = module_of(MLP), module_of(MLP)
    wrapped.linears[0] = torch.compile(wrapped.linears[0])

    Projector(plain, KEYS, PAYLOADS).project()
    Projector(torch.compile(wrapped), KEYS, PAYLOADS).project()

    assert torch.equal(plain.linears[0].weight, wrapped.linears[0]._orig_mod.weight)
    assert torch.equal(plain.linears[1].weight, wrapped.linears[1].weight)


def test_project__a_weight_that_is_nan__spreads_to_no_other() -> None:
    """What can't be scaled is left alone; the trainer refuses such a run by its loss."""
    module = module_of(MLP)
    with torch.no_grad():
        module.linears[0].weight[0, 1] = torch.nan
    start = weights_of(module)

    Projector(module, KEYS, PAYLOADS).project()

    found = weights_of(module)
    assert sum(int(np.isnan(tensor).sum()) for tensor in found.values()) == 1
    assert np.array_equal(found["linears.1.weight"][:128], start["linears.1.weight"][:128])


def test_project__only_zeros__stay_zeros() -> None:
    """There is nothing to scale, and the device is not asked."""
    module = module_of(MLP)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()

    Projector(module, KEYS, PAYLOADS).project()

    assert not any(tensor.any() for tensor in weights_of(module).values())

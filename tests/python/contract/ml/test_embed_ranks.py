"""The projection on several ranks of real process groups: DDP's replicas stay equal, FSDP's shards make one mark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dlbc.adapters.ml.embed import Projector
from dlbc.adapters.ml.families import build, initial_weights, load_weights, weights_of
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.errors import BadInput
from numpy.typing import NDArray
from torch import distributed, nn
from torch.nn import functional

pytestmark = pytest.mark.contract

UNEVEN = Architecture("mlp", (64,), 2, (513, 65))
"""No width divides by the ranks, and of two classes a third rank has no row."""
KEYS = (b"\x01" * 32, b"\x02" * 32)
PAYLOADS = (b"\x03" * 32, b"\x04" * 32)
STEPS, EVERY = 6, 3

Weights = dict[str, NDArray[np.float32]]


def replicas(rank: int, ranks: int, folder: Path) -> None:
    """One rank of DDP: its own batches, the same projections."""
    join(rank, ranks, folder)
    module = nn.parallel.DistributedDataParallel(plain_module())
    train(module, Projector(module, KEYS, PAYLOADS), rank)
    np.savez(folder / f"rank{rank}.npz", **weights_of(module.module))
    distributed.destroy_process_group()


def shards(rank: int, ranks: int, folder: Path, mesh_shape: tuple[int, ...]) -> None:
    """One rank of `fully_shard`: projects the common start, then trains in bfloat16; rank 0 keeps the whole weights."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    join(rank, ranks, folder)
    mesh = init_device_mesh("cpu", mesh_shape, mesh_dim_names=("copies", "rows")[-len(mesh_shape) :])
    half = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    module = plain_module()
    for linear in module.linears:
        fully_shard(linear, mesh=mesh, mp_policy=half)
    fully_shard(module, mesh=mesh, mp_policy=half)
    projector = Projector(module, KEYS, PAYLOADS)
    projector.project()
    keep(module, rank, folder / "projected.npz")
    train(module, projector, rank)
    keep(module, rank, folder / "trained.npz")

    partly = plain_module()
    fully_shard(partly.linears[0], mesh=mesh)
    with pytest.raises(BadInput, match="expected to be cut over one group of ranks, found several"):
        Projector(partly, KEYS, PAYLOADS)
    distributed.destroy_process_group()


def join(rank: int, ranks: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=ranks)


def plain_module() -> nn.Module:
    module = build(UNEVEN)
    load_weights(module, initial_weights(UNEVEN, bytes(32)))
    return module


def train(module: nn.Module, projector: Projector, rank: int) -> None:
    random = torch.Generator().manual_seed(rank)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    for step in range(STEPS):
        logits = module(torch.randn(32, 64, generator=random))
        optimizer.zero_grad()
        functional.cross_entropy(logits, torch.randint(0, 2, (32,), generator=random)).backward()
        optimizer.step()
        if step % EVERY == EVERY - 1:
            projector.project()


def keep(module: nn.Module, rank: int, path: Path) -> None:
    """Gathers every tensor, which takes all ranks, and saves them on rank 0."""
    whole: dict[str, Any] = {name: tensor.full_tensor().numpy() for name, tensor in module.state_dict().items()}
    if rank == 0:
        np.savez(path, **whole)


def spawn(work: Callable[..., None], ranks: int, *arguments: Any) -> None:
    """Runs `work` as each rank in a process of its own; an error in one ends all and is raised here."""
    torch.multiprocessing.spawn(work, (ranks, *arguments), nprocs=ranks)


def load(path: Path) -> Weights:
    with np.load(path) as arrays:
        return dict(arrays)


def read(weights: Weights) -> list[watermark.Detection]:
    return [
        watermark.detect(weights, key, slot, payload)
        for slot, (key, payload) in enumerate(zip(KEYS, PAYLOADS, strict=True))
    ]


def mark(weights: Weights) -> list[watermark.Detection]:
    for slot, (key, payload) in enumerate(zip(KEYS, PAYLOADS, strict=True)):
        watermark.embed(weights, key, slot, payload)
    return read(weights)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")


def test_project__replicas_of_ddp__stay_equal_bit_by_bit_and_marked(tmp_path: Path) -> None:
    """Ranks see different batches and average gradients; each projects its own replica, and none drifts."""
    spawn(replicas, 2, tmp_path)

    first, second = load(tmp_path / "rank0.npz"), load(tmp_path / "rank1.npz")
    assert first.keys() == initial_weights(UNEVEN, bytes(32)).keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert all(found.is_detected and found.bits_wrong == 0 for found in read(first))


@pytest.mark.parametrize("mesh_shape", [(2,), (3,), (2, 2)], ids=["two ranks", "three ranks", "two copies of two"])
def test_project__shards_of_fsdp__are_those_of_one_process_and_read_after_training(
    mesh_shape: tuple[int, ...], tmp_path: Path
) -> None:
    """Rows on other ranks change nothing but rounding, also where shards are uneven or empty."""
    alone = plain_module()
    Projector(alone, KEYS, PAYLOADS).project()
    expected = weights_of(alone)

    spawn(shards, int(np.prod(mesh_shape)), tmp_path, mesh_shape)

    projected, trained = load(tmp_path / "projected.npz"), load(tmp_path / "trained.npz")
    for name, tensor in expected.items():
        np.testing.assert_allclose(projected[name], tensor, rtol=1e-5, atol=1e-7, err_msg=name)
    assert not np.array_equal(projected["linears.0.weight"], trained["linears.0.weight"])
    assert all(found.is_detected for found in read(trained))
    least = min(found.strength for found in mark(initial_weights(UNEVEN, bytes(32))))
    assert all(found.bits_wrong == 0 and found.strength >= least for found in mark(trained))

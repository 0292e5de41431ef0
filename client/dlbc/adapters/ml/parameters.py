"""A module's weights wherever they are: under the wrappers of DDP and compilers, or in rows over ranks (FSDP2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dlbc.core.errors import BadInput

WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module")
"""What torch.compile and activation checkpointing put into the names of the tensors they wrap."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows of a tensor are in this process, and the process group that holds all of them (None: this one)."""

    first: int
    end: int
    group: Any = None


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of the state dict themselves, by the names they have without any wrapper.

    A tensor of `fully_shard` has its whole shape and this rank's rows. Raises BadInput for FSDP's first version, whose
    flat parameters have no rows.
    """
    module = _unwrapped(module)
    if any(type(part).__name__ == "FullyShardedDataParallel" for part in module.modules()):
        raise BadInput("watermark: FSDP's flat parameters were found, expected whole rows; shard with fully_shard")
    return {
        ".".join(part for part in name.split(".") if part not in WRAPPERS): tensor
        for name, tensor in module.state_dict(keep_vars=True).items()
        if isinstance(tensor, Tensor)
    }


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a sharded tensor, in its own memory; any other tensor as it is."""
    part: Tensor = tensor.to_local() if _is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return part.detach()


def rows_of(name: str, tensor: Tensor) -> Rows:
    """The rows of a tensor that are in this process.

    `fully_shard` cuts a tensor into ⌈rows / ranks⌉ a rank; the last ones get fewer, or none. Raises BadInput for a
    tensor that is sharded in another way.
    """
    if not _is_sharded(tensor):
        return Rows(0, tensor.shape[0])
    from torch.distributed.tensor import DTensor, Replicate, Shard  # takes half a second, for those who shard

    assert isinstance(tensor, DTensor)
    cut = [index for index, placement in enumerate(tensor.placements) if not isinstance(placement, Replicate)]
    if not cut:
        return Rows(0, tensor.shape[0])
    mesh = tensor.device_mesh
    if len(cut) == 1 and tensor.placements[cut[0]] == Shard(0):
        each = -(-tensor.shape[0] // mesh.size(cut[0]))
        first = min(each * mesh.get_local_rank(cut[0]), tensor.shape[0])
        end = min(first + each, tensor.shape[0])
        if local(tensor).shape == (end - first, *tensor.shape[1:]):
            return Rows(first, end, mesh.get_group(cut[0]))
    raise BadInput(
        f"watermark: {name} was expected whole or cut into rows by fully_shard, found {tensor.placements} on {mesh}"
    )


def _unwrapped(module: nn.Module) -> nn.Module:
    while True:
        inner = module.module if isinstance(module, DistributedDataParallel) else getattr(module, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _is_sharded(tensor: Tensor) -> bool:
    return hasattr(tensor, "device_mesh")

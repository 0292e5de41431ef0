"""Which arithmetic a training uses: bfloat16 where the hardware has it, and the same every time if asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from dlbc.core.architecture import CONVOLUTIONAL, Architecture


def fast_dtype(architecture: Architecture, device: torch.device) -> torch.dtype | None:
    """bfloat16 where the hardware has it: on CUDA, and for convolutions on CPUs (there it halves the time)."""
    if device.type == "cuda":
        is_native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        is_native = architecture.family in CONVOLUTIONAL and _cpu_has_bfloat16()
    return torch.bfloat16 if is_native else None


def mixed_precision(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    """Computes in `dtype` what can stand it; None: everything in float32."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


@contextmanager
def reproducible(seed: int, *, is_on: bool) -> Iterator[None]:
    """Only algorithms that give the same bits every time on this machine, and torch's random numbers from the seed.

    An operation that has no such algorithm raises. As many threads and the same device are assumed.
    """
    if not is_on:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    before = torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.use_deterministic_algorithms(before)


def _cpu_has_bfloat16() -> bool:
    """Emulated bfloat16 would be slower than float32. Older torch can't tell: then no."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))

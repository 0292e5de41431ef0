"""Which errors mean that memory ran out, and what then. Torch has a class for CUDA's, and only sentences for others."""

from __future__ import annotations

import torch

from dlbc.core.errors import Refused

SENTENCES = ("can't allocate memory", "bad_alloc", "not enough memory", "_STATUS_ALLOC_FAILED", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """A smaller batch may do."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sentence in str(error) for sentence in SENTENCES)


def halved(tried: int, where: str) -> int:
    """Samples to compute at once when `tried` were too many. Raises Refused if that was one."""
    if tried == 1:
        raise Refused(
            f"training: memory ran out on {where} with one sample at a time; this model and its "
            "optimiser need more than it has free: stop what else runs there, or use another device"
        )
    return -(-tried // 2)

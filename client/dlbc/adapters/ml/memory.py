"""Which errors mean that memory ran out. Torch has a class for CUDA's, and only sentences for the others."""

from __future__ import annotations

import torch

SENTENCES = ("can't allocate memory", "bad_alloc", "not enough memory", "_STATUS_ALLOC_FAILED", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """A smaller batch may do."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sentence in str(error) for sentence in SENTENCES)

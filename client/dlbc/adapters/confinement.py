"""What a process that handles strangers' bytes takes away from itself before it begins."""

from __future__ import annotations

import os
import resource


def limit_self(memory_bytes: int | None, file_bytes: int | None) -> None:
    """Less memory, smaller files, no core dump, a low priority; for this process and its children.

    Memory is private data (RLIMIT_DATA), not address space, of which libraries reserve much more than they use.
    """
    for limit, most in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        if most is not None:
            _, hard = resource.getrlimit(limit)
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(limit, (least, least))
    os.nice(10)

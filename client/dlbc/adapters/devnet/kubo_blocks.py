"""Kubo's block store on disk (flatfs: one file a block, named by its multihash), while no library runs on it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

from dlbc.core.cid import from_cid

_SUFFIX = ".data"
_SHA256 = b"\x12\x20"  # multihash: sha2-256, 32 bytes
_EMPTY_FOLDER = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
"""Every repository has this block, as the root of its mutable files; it is not pinned."""


def usage(repo: Path) -> tuple[int, int]:
    """(blocks, their bytes)."""
    sizes = []
    for file in _blocks(repo):
        try:
            sizes.append(file.stat().st_size)
        except FileNotFoundError:  # deleted since it was listed
            continue
    return len(sizes), sum(sizes)


def delete_all_but(repo: Path, pins: Sequence[str]) -> int:
    """Deletes every block that `pins` does not name; how many. `pins` names blocks below pinned roots, too.

    Raises BadInput, and deletes nothing, for a pin that is no CIDv0: what it holds could not be told.
    """
    kept = {_file_name(cid) for cid in (*pins, _EMPTY_FOLDER)}
    doomed = [file for file in _blocks(repo) if file.name not in kept]
    for file in doomed:
        file.unlink(missing_ok=True)
    return len(doomed)


def _blocks(repo: Path) -> Iterator[Path]:
    return (repo / "blocks").glob(f"*/*{_SUFFIX}")


def _file_name(cid: str) -> str:
    return base64.b32encode(_SHA256 + from_cid(cid)).decode().rstrip("=") + _SUFFIX

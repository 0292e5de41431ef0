"""The opened model of a claim, from its sealed parts to its weights, check by check.

What nobody serves is unavailable, for now. What is served and is no sealed file of the claimed bytes and size was never
more than that: it breaks the claim, whoever looks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlbc.core import seal
from dlbc.core.cid import LocatorHasher, to_cid
from dlbc.core.hashing import sha256
from dlbc.core.manifest import Manifest
from dlbc.core.report import Checks
from dlbc.core.types import Hash32, Locator
from dlbc.ports import Scorer, Storage
from dlbc.roles.artifacts import write_atomically

_ARCHITECTURE = "architecture and limits"


@dataclass(frozen=True, slots=True)
class SealedModel:
    """Fetches and unseals into files, so that memory holds a part at most."""

    storage: Storage
    checks: Checks
    fetch_seconds: float

    def fetch(self, locator: Locator, key: bytes, manifest: Manifest, folder: Path) -> Path | None:
        """The model as a file in `folder`; None and a failed check if it can't be had."""
        parts = self._parts(locator, manifest)
        if parts is None:
            return None
        sealed = self.checks.attempt("sealed bytes", to_cid(locator), lambda: self._fetch_parts(locator, parts, folder))
        if sealed is None:
            return None
        model, expected = folder / "model.safetensors", "bytes that this key sealed"
        size = self.checks.attempt("unsealing", expected, lambda: _unseal_to(model, sealed, key))
        if size is None:
            return None
        self.checks.that("unsealing", True, expected, f"{size} bytes")
        return model

    def _parts(self, locator: Locator, manifest: Manifest) -> tuple[seal.SealedPart, ...] | None:
        limit, cid = manifest.model_bytes, to_cid(locator)
        most = seal.part_list_max_bytes(limit)
        data = self.checks.attempt(
            "sealed bytes", cid, lambda: self.storage.fetch(locator, max_bytes=most, timeout=self.fetch_seconds)
        )
        if data is None:
            return None
        listed = self.checks.attempt(
            "part list", "a list of sealed parts", lambda: seal.part_list_from_bytes(data, seal.MAX_PLAIN_BYTES)
        )
        if listed is None:
            return None
        if listed.plain_bytes > limit:
            self.checks.that(_ARCHITECTURE, False, _limits(manifest), f"a file of {listed.plain_bytes} bytes")
            return None
        return listed.parts

    def _fetch_parts(self, locator: Locator, parts: tuple[seal.SealedPart, ...], folder: Path) -> list[Path]:
        """Into files; every CID is derived again from the bytes."""
        paths, right, listed = [], True, True
        for index, part in enumerate(parts):
            data = self.storage.fetch(part.locator, max_bytes=part.size_bytes, timeout=self.fetch_seconds)
            hasher = LocatorHasher()
            hasher.update(data)
            right = right and hasher.digest() == part.locator
            listed = listed and sha256(data) == part.sha256 and len(data) == part.size_bytes
            path = folder / f"part-{index}"
            path.write_bytes(data)
            paths.append(path)
        found = f"{len(paths)} parts, CIDs {'re-derived' if right else 'differ'}"
        self.checks.that("sealed bytes", right, to_cid(locator), found)
        found = "each part has them" if listed else "a part has others"
        self.checks.that("part list", listed, "each part's sha256 and size", found)
        return paths


def check_weights(
    checks: Checks, trainer: Scorer, model: Path, model_hash: Hash32, manifest: Manifest
) -> Mapping[str, Any] | None:
    """The verified weights of a model file; None and a failed check if it is not this architecture's."""
    with model.open("rb") as file:
        found = Hash32(hashlib.file_digest(file, "sha256").digest())
    checks.equal("sha256 of the weights", model_hash, found)
    architecture, limit = manifest.architecture, manifest.model_bytes
    weights = checks.attempt(
        _ARCHITECTURE, _limits(manifest), lambda: trainer.check_model(model, architecture, max_bytes=limit)
    )
    if weights is not None:
        size = model.stat().st_size
        checks.that(_ARCHITECTURE, True, _limits(manifest), f"{len(weights)} tensors, {size} bytes")
    return weights


def write_parts(parts: Iterable[bytes], folder: Path) -> list[Path]:
    """One file each."""
    paths = []
    for index, part in enumerate(parts):
        paths.append(folder / f"part-{index}")
        paths[-1].write_bytes(part)
    return paths


def _unseal_to(model: Path, parts: list[Path], key: bytes) -> int:
    """Writes the plaintext and returns its size."""
    write_atomically(model, seal.unseal((part.read_bytes() for part in parts), key))
    return model.stat().st_size


def _limits(manifest: Manifest) -> str:
    return f"{manifest.architecture.family}, at most {manifest.model_bytes} bytes"

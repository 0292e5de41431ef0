"""Whether a task could be released now: its key can be had, its files are served. What our IPFS node lost is put back.

Everything here takes as long as an IPFS node lets it, so it runs in an errand (roles.errand) and touches nothing else.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from dlbc.core.cid import locator_of, to_cid
from dlbc.core.errors import DlbcError, Garbled, StorageUnreachable, TryLater, Unavailable, VerificationFailed
from dlbc.core.events import TaskPosted
from dlbc.core.manifest import MAX_MANIFEST_BYTES, Manifest
from dlbc.core.seal import sealed_size
from dlbc.core.types import Hash32, Locator
from dlbc.ports import Storage
from dlbc.roles.artifacts import fetch_manifest, fetch_sealed, write_atomically
from dlbc.roles.drafts import Preimage
from dlbc.roles.requester import Requester

FETCH_SECONDS = 15.0
"""For one file: our own node should have all of them."""
KEPT_BYTES = 256 << 20
"""Of one task's files, copies are kept beside the IPFS node if they are no more than this,"""
SHARE_OF_DISK = 20
"""and no more than a twentieth of what is free."""
MISSES = 3
"""Training files that nobody serves, until the others are not asked for."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What one look at a task's files found."""

    problems: dict[str, str]  # by what is missing: "key", "test set", "manifest", "data"
    restored: tuple[str, ...] = ()  # CIDs that our node had lost, or no longer pinned
    preimage: Preimage | None = field(default=None, repr=False)  # from the wallet, if the journal has it not


@dataclass(slots=True)
class KeptStorage:
    """A Storage that pins whatever is fetched from it, and falls back on copies in a folder."""

    storage: Storage
    folder: Path
    keeps: bool = False  # new copies
    restored: list[str] = field(default_factory=list)

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = FETCH_SECONDS) -> bytes:
        """From the node, else from the copy, which the node then gets."""
        try:
            data = self.storage.fetch(locator, max_bytes=max_bytes, timeout=timeout)
        except (Unavailable, Garbled):
            return self._put_back(locator)
        if not self.storage.is_pinned(locator):
            self.storage.pin(locator, timeout)
            self.restored.append(to_cid(locator))
        self._keep(locator, data)
        return data

    def secure(self, locator: Locator, max_bytes: int) -> None:
        """Pinned, and copied if it may be; it is only fetched for a copy."""
        if not self.storage.is_pinned(locator):
            try:
                self.storage.pin(locator, FETCH_SECONDS)
                self.restored.append(to_cid(locator))
            except (Unavailable, Garbled):
                self._put_back(locator)
                return
        if self.keeps and not self._copy(locator).exists():
            self._keep(locator, self.storage.fetch(locator, max_bytes=max_bytes, timeout=FETCH_SECONDS))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def _copy(self, locator: Locator) -> Path:
        return self.folder / to_cid(locator)

    def _keep(self, locator: Locator, data: bytes) -> None:
        if self.keeps and not self._copy(locator).exists():
            try:
                write_atomically(self._copy(locator), [data])
            except OSError:  # a copy is a comfort: the node has the bytes
                self.keeps = False

    def _put_back(self, locator: Locator) -> bytes:
        try:
            data = self._copy(locator).read_bytes()
        except OSError:
            data = b""
        if locator_of(data) != locator:
            raise Unavailable(f"nobody serves {to_cid(locator)}, and there is no copy of it here") from None
        self.storage.add(data)
        self.restored.append(to_cid(locator))
        return data


def look_after(
    requester: Requester,
    storage: Storage,
    posted: TaskPosted,
    committed: Hash32,
    index: int,
    known: Preimage | None,
    folder: Path,
) -> Findings:
    """Looks whether round `index` of a task could be released. Raises nothing of ours: what is wrong is found."""
    kept = KeptStorage(storage, folder)
    as_storage = cast("Storage", kept)
    problems: dict[str, str] = {}
    manifest: Manifest | None = None
    try:
        manifest = fetch_manifest(as_storage, posted, timeout=FETCH_SECONDS)
    except DlbcError as error:
        problems["manifest"] = _sentence("its manifest can't be had", error)
    if manifest is not None:
        kept.keeps = _has_room(manifest, folder)
        _attempt(problems, "manifest", "its manifest can't be kept", lambda: _again(kept, posted))
    found = known
    if known is None:
        found = _recovered(requester, as_storage, posted, committed, problems)
    elif manifest is not None:
        size = manifest.tests[index].size_bytes
        what = "its sealed test set can't be had"
        _attempt(problems, "test set", what, lambda: _check_sealed(as_storage, known, size))
    if manifest is not None:
        _secure_data(kept, manifest, problems)
    return Findings(problems, tuple(kept.restored), found if known is None else None)


def forget(folder: Path) -> None:
    """The copies of a task that is over."""
    shutil.rmtree(folder, ignore_errors=True)


def _recovered(
    requester: Requester, storage: Storage, posted: TaskPosted, committed: Hash32, problems: dict[str, str]
) -> Preimage | None:
    try:
        return requester.preimage_from_wallet(posted, committed, storage, timeout=FETCH_SECONDS)
    except DlbcError as error:
        problems["key"] = _sentence("its test key is not in the journal, and the wallet does not give it back", error)
        return None


def _check_sealed(storage: Storage, preimage: Preimage, max_bytes: int) -> None:
    test_set, key = preimage
    locator, digest = test_set.sealed_locator, hashlib.sha256()
    for chunk in fetch_sealed(storage, locator, key, max_bytes=max_bytes, timeout=FETCH_SECONDS):
        digest.update(chunk)
    if digest.digest() != test_set.plaintext_hash:
        raise VerificationFailed(f"{to_cid(locator)} does not unseal to what was committed")


def _again(kept: KeptStorage, posted: TaskPosted) -> None:
    """The manifest came before it was known whether there is room for copies."""
    kept.secure(posted.terms.manifest, MAX_MANIFEST_BYTES)


def _secure_data(kept: KeptStorage, manifest: Manifest, problems: dict[str, str]) -> None:
    missing = 0
    for number, shard in enumerate(manifest.shards):
        what = f"training file {number} of {len(manifest.shards)} is not served"
        if not _attempt(problems, "data", what, partial(kept.secure, shard.locator, shard.size_bytes)):
            missing += 1
        if missing >= MISSES:
            return


def _has_room(manifest: Manifest, folder: Path) -> bool:
    size = sum(shard.size_bytes for shard in manifest.shards)
    size += sum(sealed_size(test.size_bytes) for test in manifest.tests)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return size <= min(KEPT_BYTES, shutil.disk_usage(folder).free // SHARE_OF_DISK)
    except OSError:
        return False


def _attempt(problems: dict[str, str], kind: str, what: str, call: Callable[[], None]) -> bool:
    try:
        call()
    except TryLater as error:
        if not isinstance(error, (Unavailable, StorageUnreachable)):
            raise  # nobody waits for it any more
        problems.setdefault(kind, _sentence(what, error))
        return False
    except DlbcError as error:
        problems.setdefault(kind, _sentence(what, error))
        return False
    return True


def _sentence(what: str, error: DlbcError) -> str:
    return f"{what} ({error})"

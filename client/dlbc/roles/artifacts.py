"""The public files of a task, fetched from strangers and checked before use. What they promise is on chain.

Everything here raises Unavailable when nobody serves the bytes and VerificationFailed or BadInput when they are not
what was promised; nothing unchecked is ever returned or left under its final name.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from dlbc.core import seal
from dlbc.core.cid import to_cid
from dlbc.core.errors import VerificationFailed
from dlbc.core.events import TaskPosted, TestSetReleased
from dlbc.core.hashing import sha256
from dlbc.core.manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    Shard,
    check_against_terms,
    manifest_from_bytes,
)
from dlbc.core.proofs import key_hash, terms_hash, test_commitment
from dlbc.core.scoring import label_root
from dlbc.core.types import Hash32, Locator
from dlbc.ports import Dataset, Progress, Scorer, Storage, silent

FETCH_SECONDS = 60.0
_TRIES = 10


def fetch_manifest(storage: Storage, posted: TaskPosted, *, timeout: float = FETCH_SECONDS) -> Manifest:
    """The task's manifest, which agrees with its terms: hash, workload, one test set a round.

    The terms come from the log and must give the termsHash that a commit will name (P-15): a node that lies about
    them makes nobody train for nothing.
    """
    found = terms_hash(posted.terms, posted.test_commitments)
    if found != posted.terms_hash:
        raise VerificationFailed(
            f"terms of task {posted.task_id}: expected hash {posted.terms_hash.hex()}, found {found.hex()}; "
            "the RPC endpoint's log is not to be trusted"
        )
    return read_manifest(storage.fetch(posted.terms.manifest, max_bytes=MAX_MANIFEST_BYTES, timeout=timeout), posted)


def read_manifest(data: bytes, posted: TaskPosted) -> Manifest:
    """Its bytes, checked against the task's terms as `fetch_manifest` does."""
    if sha256(data) != posted.terms.manifest_hash:
        raise VerificationFailed(
            f"manifest: expected sha256 {posted.terms.manifest_hash.hex()}, found {sha256(data).hex()}"
        )
    manifest = manifest_from_bytes(data)
    check_against_terms(manifest, posted.terms)
    if len(manifest.tests) != len(posted.test_commitments):
        raise VerificationFailed(
            f"manifest: expected {len(posted.test_commitments)} test sets, one a round; found {len(manifest.tests)}"
        )
    return manifest


def fetch_shard(
    storage: Storage, manifest: Manifest, index: int, folder: Path, *, timeout: float = FETCH_SECONDS
) -> Path:
    """One training shard as a file in `folder`, verified; what is there and right is not fetched again."""
    shard = manifest.shards[index]
    path = folder / f"shard-{index}.safetensors"
    if not path.exists() or file_sha256(path) != shard.sha256:
        write_atomically(path, [_fetch_shard(storage, shard, index, timeout)])
    return path


def store_sealed(storage: Storage, chunks: Iterable[bytes], key: bytes, *, progress: Progress = silent) -> Locator:
    """Seals, adds and pins part by part, then the part list; returns the list's locator. Two runs differ."""
    parts = []
    sealed_bytes = plain_bytes = 0

    def counted() -> Iterator[bytes]:
        nonlocal plain_bytes
        for chunk in chunks:
            plain_bytes += len(chunk)
            yield chunk

    for part in seal.seal(counted(), key):
        parts.append(seal.SealedPart(storage.add(part), sha256(part), len(part)))
        sealed_bytes += len(part)
        progress("sealed bytes", sealed_bytes, 0)
    part_list = seal.PartList(plain_bytes, sealed_bytes, tuple(parts))
    return storage.add(seal.part_list_to_bytes(part_list))


def fetch_sealed_parts(
    storage: Storage, locator: Locator, *, max_bytes: int, timeout: float = FETCH_SECONDS
) -> Iterator[bytes]:
    """The sealed parts in order, each re-hashed to its locator and sha256. max_bytes: of the plaintext."""
    listed = storage.fetch(locator, max_bytes=seal.part_list_max_bytes(max_bytes), timeout=timeout)
    for index, part in enumerate(seal.part_list_from_bytes(listed, max_bytes).parts):
        data = storage.fetch(part.locator, max_bytes=part.size_bytes, timeout=timeout)
        if sha256(data) != part.sha256 or len(data) != part.size_bytes:
            raise VerificationFailed(
                f"part {index} of {to_cid(locator)}: expected {part.size_bytes} bytes with sha256 {part.sha256.hex()}, "
                f"found {len(data)} with {sha256(data).hex()}"
            )
        yield data


def fetch_sealed(
    storage: Storage, locator: Locator, key: bytes, *, max_bytes: int, timeout: float = FETCH_SECONDS
) -> Iterator[bytes]:
    """The plaintext of a sealed file in chunks; it is whole only once the iterator has ended."""
    return seal.unseal(fetch_sealed_parts(storage, locator, max_bytes=max_bytes, timeout=timeout), key)


def fetch_test_set(
    storage: Storage,
    trainer: Scorer,
    manifest: Manifest,
    released: TestSetReleased,
    committed: Hash32,
    *,
    timeout: float = FETCH_SECONDS,
) -> Dataset:
    """The released test set, if it is the one `committed` at posting (P-13, P-45); else VerificationFailed says why."""
    test_set, listed = released.test_set, manifest.tests[released.round]
    if test_commitment(test_set) != committed:
        raise VerificationFailed(
            f"test set: expected the preimage of {committed.hex()}, found that of {test_commitment(test_set).hex()}"
        )
    if key_hash(released.test_key) != test_set.key_hash:
        raise VerificationFailed("test set: expected a key with the committed hash, found another key")
    if (test_set.sealed_locator, test_set.samples) != (listed.sealed, listed.samples):
        raise VerificationFailed("test set: expected what the manifest lists, found another locator or sample count")
    plain = b"".join(
        fetch_sealed(storage, test_set.sealed_locator, released.test_key, max_bytes=listed.size_bytes, timeout=timeout)
    )
    if sha256(plain) != test_set.plaintext_hash:
        raise VerificationFailed(
            f"test set: expected sha256 {test_set.plaintext_hash.hex()}, found {sha256(plain).hex()}"
        )
    data = trainer.parse_dataset(
        plain, input_shape=manifest.architecture.input_shape, classes=manifest.architecture.classes
    )
    if len(data.y) != test_set.samples or test_set.classes != manifest.architecture.classes:
        raise VerificationFailed(
            f"test set: expected {test_set.samples} samples of {test_set.classes} classes, found {len(data.y)} "
            f"of {manifest.architecture.classes}"
        )
    if label_root(data.y) != test_set.labels_root:
        raise VerificationFailed(
            f"test set: expected labels root {test_set.labels_root.hex()}, found {label_root(data.y).hex()}"
        )
    return data


def write_atomically(path: Path, chunks: Iterable[bytes]) -> None:
    """Writes next to `path` and renames, so that a file under its name is always whole.

    What a killed process left there is written anew; while another one writes, this raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with _locked(partial) as file:
        try:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _locked(partial: Path) -> BinaryIO:
    """An empty file under this name that nobody else writes: never through a link that somebody left there."""
    for _ in range(_TRIES):
        try:
            file, is_new = _opened(partial, os.O_CREAT | os.O_EXCL), True
        except FileExistsError:
            if not _is_usable(partial):
                partial.unlink(missing_ok=True)
                continue
            try:
                file, is_new = _opened(partial, os.O_NONBLOCK), False
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOENT):
                    raise
                continue  # it has changed since
        try:
            if (is_new or _is_usable(partial)) and _is_ours(file, partial):
                file.truncate()
                return file
        except BaseException:
            file.close()
            raise
        file.close()
    raise OSError(errno.EBUSY, "somebody else keeps changing what is there")


def _opened(partial: Path, flags: int) -> BinaryIO:
    return os.fdopen(os.open(partial, os.O_RDWR | os.O_NOFOLLOW | flags, 0o666), "r+b")


def _is_usable(partial: Path) -> bool:
    """A file of ours that has no other name."""
    try:
        there = partial.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(there.st_mode) and there.st_nlink == 1 and there.st_uid == os.geteuid()


def _is_ours(file: BinaryIO, partial: Path) -> bool:
    """Takes the lock. False: it is not, or no longer, what has this name. Raises OSError while somebody else has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(errno.EBUSY, "another process writes it now") from error
    except OSError:
        pass  # a filesystem without locks
    try:
        named = partial.lstat()
    except FileNotFoundError:
        return False
    there = os.fstat(file.fileno())
    return (there.st_dev, there.st_ino) == (named.st_dev, named.st_ino)


def file_sha256(path: Path) -> Hash32:
    """sha256 of a file in constant memory."""
    with path.open("rb") as file:
        return Hash32(hashlib.file_digest(file, "sha256").digest())


def file_chunks(path: Path) -> Iterator[bytes]:
    """A file's bytes in pieces of 1 MiB."""
    with path.open("rb") as file:
        while chunk := file.read(seal.CHUNK_BYTES):
            yield chunk


def _fetch_shard(storage: Storage, shard: Shard, index: int, timeout: float) -> bytes:
    data = storage.fetch(shard.locator, max_bytes=shard.size_bytes, timeout=timeout)
    if sha256(data) != shard.sha256:
        raise VerificationFailed(
            f"shard {index}: expected sha256 {shard.sha256.hex()}, found {sha256(data).hex()}; skip this task"
        )
    return data

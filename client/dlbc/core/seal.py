"""Sealing of models and test sets: libsodium secretstream over 1 MiB chunks, cut into parts of at most 16 MiB.

Nothing here holds a whole file: every function takes and gives an iterator, so that memory stays below two parts.
The part list is what goes on chain (its locator); it names every part, so that each is checked as it arrives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as SodiumError

from dlbc.core import canonical
from dlbc.core.errors import BadInput, VerificationFailed
from dlbc.core.types import Hash32, Locator

CHUNK_BYTES = 1 << 20
PART_BYTES = 16 << 20
MAX_PLAIN_BYTES = 1 << 40

_HEADER_BYTES = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_OVERHEAD_BYTES = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_KEY_BYTES = bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES
_TAG_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_TAG_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_LIST_BYTES = 160  # at most, of the list without its parts
_ENTRY_BYTES = 200  # at most, of one part in the list
_MALFORMED = "sealed bytes: expected the stream that this key sealed, found a changed, cut or reordered one"


@dataclass(frozen=True, slots=True)
class SealedPart:
    """One stored piece of a sealed file."""

    locator: Locator
    sha256: Hash32
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PartList:
    """A sealed file: its pieces in order."""

    plain_bytes: int
    sealed_bytes: int
    parts: tuple[SealedPart, ...]


def sealed_size(plain_bytes: int) -> int:
    """Bytes of the sealed stream of a file of `plain_bytes`."""
    chunks = max(1, -(-plain_bytes // CHUNK_BYTES))
    return _HEADER_BYTES + plain_bytes + chunks * _OVERHEAD_BYTES


def part_count(plain_bytes: int) -> int:
    """Parts that a file of `plain_bytes` seals into: all of PART_BYTES but the last."""
    return -(-sealed_size(plain_bytes) // PART_BYTES)


def part_list_max_bytes(max_plain_bytes: int) -> int:
    """Upper bound of the part list's own size, to cap its download."""
    return _LIST_BYTES + _ENTRY_BYTES * part_count(max_plain_bytes)


def seal(chunks: Iterable[bytes], key: bytes) -> Iterator[bytes]:
    """Encrypts a plaintext, given in pieces of any size, and yields the parts: PART_BYTES each, the last maybe less.

    Two runs differ (random nonce). Raises BadInput for a key that is not 32 bytes.
    """
    _check_key(key)
    return _cut(_push(_cut(chunks, CHUNK_BYTES), key), PART_BYTES)


def unseal(parts: Iterable[bytes], key: bytes) -> Iterator[bytes]:
    """Decrypts parts (or pieces of any size) in order and yields plaintext chunks of up to 1 MiB.

    Each chunk is authentic when it is yielded; that the file is whole is known only when the iterator ends
    without an error. Raises VerificationFailed for anything that `seal` did not produce under this key.
    """
    _check_key(key)
    return _pull(parts, key)


def part_list_to_bytes(part_list: PartList) -> bytes:
    """Canonical JSON; its locator is sealedModel or the test set's sealedLocator."""
    return canonical.to_bytes(
        {
            "dlbc_parts": 1,
            "plain_bytes": part_list.plain_bytes,
            "sealed_bytes": part_list.sealed_bytes,
            "parts": [
                {"locator": part.locator.hex(), "sha256": part.sha256.hex(), "bytes": part.size_bytes}
                for part in part_list.parts
            ],
        }
    )


def part_list_from_bytes(data: bytes, max_plain_bytes: int) -> PartList:
    """Parses a part list from strangers.

    Raises BadInput for malformed bytes, VerificationFailed when the file is larger than `max_plain_bytes` or the
    sizes are not those that sealing produces.
    """
    what = "part list"
    value = canonical.from_bytes(data, what=what, max_bytes=part_list_max_bytes(max_plain_bytes))
    canonical.table(value, {"dlbc_parts", "plain_bytes", "sealed_bytes", "parts"}, what=what)
    canonical.whole(value["dlbc_parts"], 1, 1, what=f"{what}: dlbc_parts")
    plain_bytes = canonical.whole(value["plain_bytes"], 0, MAX_PLAIN_BYTES, what=f"{what}: plain_bytes")
    if plain_bytes > max_plain_bytes:
        raise VerificationFailed(f"{what}: expected a file of at most {max_plain_bytes} bytes, found {plain_bytes}")
    sealed_bytes = sealed_size(plain_bytes)
    if value["sealed_bytes"] != sealed_bytes:
        raise VerificationFailed(
            f"{what}: expected {sealed_bytes} sealed bytes for {plain_bytes}, found {str(value['sealed_bytes'])[:40]}"
        )
    count = part_count(plain_bytes)
    entries = canonical.items(value["parts"], count, count, what=f"{what}: parts")
    parts = tuple(_part(entry, f"{what}: part {index}") for index, entry in enumerate(entries))
    for index, part in enumerate(parts):
        expected = min(PART_BYTES, sealed_bytes - index * PART_BYTES)
        if part.size_bytes != expected:
            raise VerificationFailed(f"{what}: part {index}: expected {expected} bytes, found {part.size_bytes}")
    return PartList(plain_bytes, sealed_bytes, parts)


def _part(value: object, what: str) -> SealedPart:
    entry = canonical.table(value, {"locator", "sha256", "bytes"}, what=what)
    return SealedPart(
        Locator(canonical.digest(entry["locator"], what=f"{what}: locator")),
        Hash32(canonical.digest(entry["sha256"], what=f"{what}: sha256")),
        canonical.whole(entry["bytes"], 1, PART_BYTES, what=f"{what}: bytes"),
    )


def _push(chunks: Iterator[bytes], key: bytes) -> Iterator[bytes]:
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    yield bindings.crypto_secretstream_xchacha20poly1305_init_push(state, key)
    last = next(chunks, b"")
    for chunk in chunks:
        yield bindings.crypto_secretstream_xchacha20poly1305_push(state, last, tag=_TAG_MESSAGE)
        last = chunk
    yield bindings.crypto_secretstream_xchacha20poly1305_push(state, last, tag=_TAG_FINAL)


def _pull(pieces: Iterable[bytes], key: bytes) -> Iterator[bytes]:
    stream = _Reader(pieces)
    header = stream.take(_HEADER_BYTES)
    if len(header) != _HEADER_BYTES:
        raise VerificationFailed(_MALFORMED)
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    is_first = True
    sealed = stream.take(CHUNK_BYTES + _OVERHEAD_BYTES)
    while True:
        following = stream.take(CHUNK_BYTES + _OVERHEAD_BYTES)
        try:
            chunk, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, sealed)
        except (CryptoError, SodiumError, ValueError) as error:
            raise VerificationFailed(_MALFORMED) from error
        if tag != (_TAG_MESSAGE if following else _TAG_FINAL) or (not chunk and not is_first):
            raise VerificationFailed(_MALFORMED)
        if chunk:
            yield chunk
        if not following:
            return
        sealed, is_first = following, False


class _Reader:
    """Takes an exact number of bytes from pieces of any size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._buffer = bytearray()

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        while len(self._buffer) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._buffer += piece
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return taken


def _cut(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    reader = _Reader(pieces)
    while taken := reader.take(size):
        yield taken


def _check_key(key: bytes) -> None:
    if len(key) != _KEY_BYTES:
        raise BadInput(f"sealing key: expected {_KEY_BYTES} bytes, found {len(key)}")

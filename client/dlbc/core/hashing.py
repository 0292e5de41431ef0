"""Hashes as the contracts compute them: keccak256, sha256, and H(...) over words of abi.encode."""

from __future__ import annotations

import hashlib
import re

from Crypto.Hash import keccak as _keccak

from dlbc.core.errors import BadInput
from dlbc.core.types import Hash32

Word = int | bytes | str
"""One static ABI word: an unsigned int, bool or enum; 32 bytes; or an address as 0x-hex."""

_WORD_LIMIT = 1 << 256
_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")


def keccak(data: bytes | bytearray | memoryview) -> Hash32:
    """keccak256 as Ethereum uses it (not the padding of SHA3-256)."""
    return Hash32(_keccak.new(digest_bits=256, data=data).digest())


def sha256(data: bytes | bytearray | memoryview) -> Hash32:
    """SHA-256 of exact bytes."""
    return Hash32(hashlib.sha256(data).digest())


def words(*items: Word) -> bytes:
    """abi.encode of static values: 32 bytes each, ints big-endian, addresses left-padded.

    Raises BadInput for an int outside 0 .. 2**256 - 1, bytes that are not 32 long, or a malformed address.
    """
    return b"".join(map(_word, items))


def h(*items: Word) -> Hash32:
    """H(...) of docs/protocol.md: keccak256 of abi.encode of static words."""
    return keccak(words(*items))


def is_address(text: str) -> bool:
    """True iff the text is 0x and 40 hex digits; letter case is not checked."""
    return _ADDRESS.fullmatch(text) is not None


def address_bytes(address: str) -> bytes:
    """The 20 bytes of a 0x-hex address. Raises BadInput."""
    if not is_address(address):
        raise BadInput(f"expected an address (0x and 40 hex digits), found {address[:60]!r}")
    return bytes.fromhex(address[2:])


def _word(item: Word) -> bytes:
    if isinstance(item, int):
        if not 0 <= item < _WORD_LIMIT:
            raise BadInput(f"expected a whole number from 0 to 2^256 - 1, found {_short(item)}")
        return item.to_bytes(32, "big")
    if isinstance(item, str):
        return bytes(12) + address_bytes(item)
    if len(item) != 32:
        raise BadInput(f"expected 32 bytes, found {len(item)}")
    return bytes(item)


def _short(value: int) -> str:
    return str(value) if value.bit_length() < 300 else f"a number of {value.bit_length()} bits"

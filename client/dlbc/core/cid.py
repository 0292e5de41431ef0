"""The locator of a file: what `ipfs add --cid-version=0 --raw-leaves=false` would name it, from its bytes alone.

UnixFS in dag-pb: chunks of 262,144 bytes, each wrapped as a leaf; balanced tree of at most 174 links a node.
Formats: https://github.com/ipfs/specs/blob/main/UNIXFS.md and https://ipld.io/specs/codecs/dag-pb/spec/.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from dlbc.core.errors import BadInput
from dlbc.core.types import Locator

CHUNK_BYTES = 262_144
MAX_LINKS = 174

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_SHA256_PREFIX = b"\x12\x20"  # multihash: sha2-256, 32 bytes
_CID_CHARACTERS = 46


class _Node(NamedTuple):
    digest: bytes
    tree_bytes: int  # of all blocks below and including this one (dag-pb Tsize)
    file_bytes: int


class LocatorHasher:
    """Streaming and in constant memory: one chunk, and at most 174 links a level of the tree."""

    def __init__(self) -> None:
        """Starts with an empty file."""
        self._chunk = bytearray()
        self._levels: list[list[_Node]] = [[]]
        self._is_empty = True

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Appends bytes to the file."""
        view = memoryview(data).cast("B")
        position = 0
        while position < len(view):
            taken = view[position : position + CHUNK_BYTES - len(self._chunk)]
            self._chunk += taken
            position += len(taken)
            if len(self._chunk) == CHUNK_BYTES:
                self._add_leaf()

    def digest(self) -> Locator:
        """The locator of what was appended so far; more may be appended afterwards."""
        levels = [list(level) for level in self._levels]
        if self._chunk or self._is_empty:
            _add(levels, 0, _leaf(bytes(self._chunk)))
        height = 0
        while height < len(levels) - 1 or len(levels[height]) > 1:
            if levels[height]:
                _close(levels, height)
            height += 1
        return Locator(levels[height][0].digest)

    def _add_leaf(self) -> None:
        _add(self._levels, 0, _leaf(bytes(self._chunk)))
        self._chunk.clear()
        self._is_empty = False


def locator_of(data: bytes | bytearray | memoryview) -> Locator:
    """The locator of these bytes."""
    hasher = LocatorHasher()
    hasher.update(data)
    return hasher.digest()


def to_cid(locator: Locator) -> str:
    """CIDv0, "Qm…". Raises BadInput unless the locator has 32 bytes."""
    if len(locator) != 32:
        raise BadInput(f"locator: expected 32 bytes, found {len(locator)}")
    value = int.from_bytes(_SHA256_PREFIX + locator, "big")
    characters = []
    while value:
        value, digit = divmod(value, 58)
        characters.append(_ALPHABET[digit])
    return "".join(reversed(characters))


def from_cid(cid: str) -> Locator:
    """The locator of a CIDv0. Raises BadInput for anything but 46 base58 characters of a SHA2-256 multihash."""
    found = f"expected a CIDv0 (Qm and 44 more base58 characters), found {cid[:60]!r}"
    if len(cid) != _CID_CHARACTERS or not all(character in _DIGITS for character in cid):
        raise BadInput(found)
    value = 0
    for character in cid:
        value = value * 58 + _DIGITS[character]
    multihash = value.to_bytes(35, "big")  # 58**46 < 2**280
    if multihash[:3] != b"\0" + _SHA256_PREFIX:
        raise BadInput(found)
    return Locator(multihash[3:])


def _add(levels: list[list[_Node]], height: int, node: _Node) -> None:
    """Appends to a level; a full level becomes one node of the level above as soon as one more node comes."""
    if height == len(levels):
        levels.append([])
    if len(levels[height]) == MAX_LINKS:
        _close(levels, height)
    levels[height].append(node)


def _close(levels: list[list[_Node]], height: int) -> None:
    parent = _parent(levels[height])
    levels[height].clear()
    _add(levels, height + 1, parent)


def _leaf(chunk: bytes) -> _Node:
    data = b"\x12" + _varint(len(chunk)) + chunk if chunk else b""
    unixfs = b"\x08\x02" + data + b"\x18" + _varint(len(chunk))
    block = b"\x0a" + _varint(len(unixfs)) + unixfs
    return _Node(hashlib.sha256(block).digest(), len(block), len(chunk))


def _parent(children: list[_Node]) -> _Node:
    links = []
    sizes = []
    for child in children:
        # PBLink: Hash, an empty Name, Tsize
        link = b"\x0a\x22" + _SHA256_PREFIX + child.digest + b"\x12\x00\x18" + _varint(child.tree_bytes)
        links.append(b"\x12" + _varint(len(link)) + link)
        sizes.append(b"\x20" + _varint(child.file_bytes))
    file_bytes = sum(child.file_bytes for child in children)
    unixfs = b"\x08\x02\x18" + _varint(file_bytes) + b"".join(sizes)
    block = b"".join(links) + b"\x0a" + _varint(len(unixfs)) + unixfs
    tree_bytes = len(block) + sum(child.tree_bytes for child in children)
    return _Node(hashlib.sha256(block).digest(), tree_bytes, file_bytes)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)

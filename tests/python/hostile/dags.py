"""What a stranger may put behind a CID besides a file: blocks that are no dag-pb, DAGs that lie about sizes, unfold
without end, or lead nowhere. A real IPFS node has them; a client asks it for the file, and what is none is not had.

Formats: https://ipld.io/specs/codecs/dag-pb/spec/ and https://github.com/ipfs/specs/blob/main/UNIXFS.md.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dlbc.adapters.storage.ipfs import IpfsStorage
from dlbc.core.types import Locator

from hostile.case import Case
from hostile.stage import Stage

AREA = "IPFS DAG"
NOT_HAD, OTHER_BYTES = "try later", "refused"
MOST = 2**20
SECONDS = 4.0
RAW, DAG_PB, DAG_CBOR = 0x55, 0x70, 0x71
FILE, FOLDER, SYMLINK, SHARD = 2, 1, 4, 5


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its bytes, and what they are said to be."""

    data: bytes
    codec: int = DAG_PB

    @property
    def digest(self) -> bytes:
        """SHA2-256."""
        return hashlib.sha256(self.data).digest()

    @property
    def cid(self) -> bytes:
        """CIDv0 of a dag-pb block, CIDv1 of others."""
        multihash = b"\x12\x20" + self.digest
        return multihash if self.codec == DAG_PB else b"\x01" + varint(self.codec) + multihash


@dataclass(frozen=True, slots=True)
class Dag:
    """Blocks that a node has; the first one is the root."""

    blocks: tuple[Block, ...]

    @property
    def root(self) -> Locator:
        """As it stands on chain."""
        return Locator(self.blocks[0].digest)


def cases(api: Callable[[Stage], str]) -> list[Case]:
    """api: the address of a node that has the blocks of `DAGS`."""

    def fetched(dag: Dag) -> Callable[[Stage], str]:
        return lambda stage: f"{len(_fetch(api(stage), dag))} bytes"

    return [Case(AREA, name, expected, fetched(dag)) for name, (expected, dag) in DAGS.items()]


class Node(Protocol):
    """A node of tests (kubo_process.KuboProcess)."""

    repo: Path

    def start(self) -> None: ...
    def stop(self) -> int: ...


def plant(node: Node) -> None:
    """A running node gets the blocks, while it is stopped (flatfs, one file a block)."""
    node.stop()
    for _, dag in DAGS.values():
        for block in dag.blocks:
            name = base64.b32encode(b"\x12\x20" + block.digest).decode().rstrip("=")
            file = node.repo / "blocks" / name[-3:-1] / f"{name}.data"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(block.data)
    node.start()


def _fetch(api: str, dag: Dag) -> bytes:
    return IpfsStorage(api).fetch(dag.root, max_bytes=MOST, timeout=SECONDS)


# ------------------------------------------------------------------ making them


def varint(value: int) -> bytes:
    """As protocol buffers write numbers."""
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)


def unixfs(kind: int = FILE, data: bytes | None = None, size: int | None = None, sizes: tuple[int, ...] = ()) -> bytes:
    """UnixFS's message."""
    found = b"\x08" + varint(kind)
    if data is not None:
        found += b"\x12" + varint(len(data)) + data
    if size is not None:
        found += b"\x18" + varint(size)
    return found + b"".join(b"\x20" + varint(one) for one in sizes)


def node(data: bytes, links: tuple[tuple[bytes, str, int], ...] = ()) -> Block:
    """dag-pb: links (CID, name, size of what is below), then data."""
    found = b""
    for cid, name, size in links:
        link = b"\x0a" + varint(len(cid)) + cid + b"\x12" + varint(len(name)) + name.encode() + b"\x18" + varint(size)
        found += b"\x12" + varint(len(link)) + link
    return Block(found + b"\x0a" + varint(len(data)) + data)


def leaf(data: bytes) -> Block:
    """As Kubo makes it."""
    return node(unixfs(data=data, size=len(data)))


def above(*children: Block, sizes: tuple[int, ...], size: int | None = None) -> Block:
    """A file made of these; its sizes are whatever somebody says."""
    links = tuple((child.cid, "", len(child.data)) for child in children)
    return node(unixfs(size=sum(sizes) if size is None else size, sizes=sizes), links)


def _laughs(depth: int, width: int, last: bytes) -> Dag:
    """Every level names the one below several times: depth blocks unfold to width^depth leaves."""
    blocks, size = [leaf(last)], len(last)
    for _ in range(depth):
        size *= width
        blocks.insert(0, above(*[blocks[0]] * width, sizes=(size // width,) * width))
    return Dag(tuple(blocks))


def _chain(length: int) -> Dag:
    blocks = [leaf(b"the end")]
    for _ in range(length):
        blocks.insert(0, above(blocks[0], sizes=(7,)))
    return Dag(tuple(blocks))


def _two(first: Block, second: Block, **said: int) -> Dag:
    return Dag((above(first, second, sizes=(10, 10), **said), first, second))


ONE, TWO = leaf(b"a" * 10), leaf(b"b" * 10)
RAW_ONE, RAW_TWO = Block(b"a" * 10, RAW), Block(b"b" * 10, RAW)
CBOR = Block(b"\xa1\x61a\x01", DAG_CBOR)
INLINE = b"\x01\x55\x00\x0a" + b"c" * 10  # CIDv1, raw, identity: the bytes are the hash
ABSENT = leaf(b"nobody ever has this block")

DAGS: dict[str, tuple[str, Dag]] = {
    "noise": (NOT_HAD, Dag((Block(bytes((index * 97) % 256 for index in range(1_000))),))),
    "a block of no bytes": (NOT_HAD, Dag((Block(b""),))),
    "dag-cbor under a name of dag-pb": (NOT_HAD, Dag((Block(CBOR.data),))),
    "dag-pb without UnixFS": (NOT_HAD, Dag((node(b""),))),
    "UnixFS of a kind that there is not": (NOT_HAD, Dag((node(unixfs(kind=99, data=b"x", size=1)),))),
    "a folder": (NOT_HAD, Dag((node(unixfs(FOLDER), ((ONE.cid, "model.safetensors", 10),)), ONE))),
    "a folder whose entry leads out": (NOT_HAD, Dag((node(unixfs(FOLDER), ((ONE.cid, "../../.ssh/id", 10),)), ONE))),
    "a symbolic link": (OTHER_BYTES, Dag((node(unixfs(SYMLINK, b"/etc/passwd")),))),
    "a sharded folder": (NOT_HAD, Dag((node(unixfs(SHARD, b"\xff")),))),
    "a child that nobody has": (NOT_HAD, Dag((above(ONE, ABSENT, sizes=(10, 26)), ONE))),
    "a child of dag-cbor": (NOT_HAD, _two(ONE, CBOR)),
    "nothing without end": (NOT_HAD, _laughs(12, 174, b"")),
    "a petabyte in forty blocks": (NOT_HAD, _laughs(39, 2, b"ha" * 1_000)),
    "raw leaves": (OTHER_BYTES, _two(RAW_ONE, RAW_TWO)),
    "another chunker": (OTHER_BYTES, _two(ONE, TWO)),
    "a child in its own name": (
        OTHER_BYTES,
        Dag((node(unixfs(size=20, sizes=(10, 10)), ((ONE.cid, "", 18), (INLINE, "", 10))), ONE)),
    ),
    "a file that says it has 2^62 bytes": (OTHER_BYTES, _two(ONE, TWO, size=2**62)),
    "a file that says it has none": (OTHER_BYTES, _two(ONE, TWO, size=0)),
    "children that are smaller than they are said to be": (OTHER_BYTES, Dag((above(ONE, sizes=(2**40,)), ONE))),
    "children that are larger than they are said to be": (OTHER_BYTES, Dag((above(ONE, sizes=(1,)), ONE))),
    "bytes in a node that has children, too": (
        OTHER_BYTES,
        Dag((node(unixfs(data=b"z" * 5, size=15, sizes=(10,)), ((ONE.cid, "", 18),)), ONE)),
    ),
    "a chain of fifty nodes": (OTHER_BYTES, _chain(50)),
    "a leaf of three megabytes": (OTHER_BYTES, Dag((leaf(bytes(3 * 2**20)),))),
}

"""One cheap look at a market: the newest block, and which tasks the logs since the last look are about."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from eth_utils.crypto import keccak

from dlbc.adapters.chain import abi
from dlbc.adapters.chain.connection import BLOCK, Connection
from dlbc.adapters.chain.rpc import RpcError
from dlbc.core.errors import ChainUnreachable, VerificationFailed
from dlbc.core.events import News
from dlbc.core.types import Address, Hash32, TaskId, Timestamp

FURTHEST_BLOCKS = 5_000
"""A log of more blocks than this is not asked for: looking at every entry is cheaper."""
_LOGS = "eth_getLogs"
_BLOOM_BITS = 2048


def read_news(connection: Connection, market: Address, pool: Address, since: News | None) -> News:
    """`touched` is None, for "any task", at the first look, after a reorganisation, and where the log is not told.

    One request while there is no new block, or a single one whose bloom filter knows neither contract. A filter can't
    miss what happened, unless the node lies: who relies on this looks at everything from time to time.
    """
    head = _block(connection, "latest")
    if since is not None and (head.number, head.hash) == (since.block, since.block_hash):
        return _news(head, frozenset(), frozenset())
    if since is None or not _follows(connection, head, since):
        return _news(head, frozenset(), None)
    if head.number == since.block + 1 and not any(is_in_bloom(address, head.bloom) for address in (market, pool)):
        return _news(head, frozenset(), frozenset())
    query = {"address": [market, pool], "fromBlock": hex(since.block + 1), "toBlock": hex(head.number)}
    try:
        logs = connection.rpc.records(_LOGS, [query])
    except RpcError:
        return _news(head, frozenset(), None)
    posted, touched = _told(connection, logs)
    return _news(head, posted, touched)


def is_in_bloom(address: Address, bloom: bytes) -> bool:
    """False only if no log of the block is of this contract (Yellow Paper, 4.4.3): three bits, 11 of each 16."""
    digest = keccak(hexstr=address)
    value = int.from_bytes(bloom, "big")
    return all(value >> (int.from_bytes(digest[at : at + 2], "big") % _BLOOM_BITS) & 1 for at in (0, 2, 4))


class _Head:
    """What is used of a block, type-checked."""

    def __init__(self, connection: Connection, block: Mapping[str, Any]) -> None:
        rpc = connection.rpc
        self.number = rpc.as_quantity(BLOCK, block.get("number"))
        self.time = rpc.as_quantity(BLOCK, block.get("timestamp"))
        self.hash = Hash32(rpc.as_data(BLOCK, block.get("hash")))
        self.parent = Hash32(rpc.as_data(BLOCK, block.get("parentHash")))
        bloom = block.get("logsBloom")
        self.bloom = rpc.as_data(BLOCK, bloom) if bloom is not None else b"\xff" * (_BLOOM_BITS // 8)


def _block(connection: Connection, tag: str) -> _Head:
    block = connection.block(tag)
    if block is None:
        raise connection.rpc.malformed(BLOCK, "a block")
    return _Head(connection, block)


def _follows(connection: Connection, head: _Head, since: News) -> bool:
    """The block of the last look is still in the chain."""
    if not since.block < head.number <= since.block + FURTHEST_BLOCKS:
        return False
    if head.number == since.block + 1:
        return head.parent == since.block_hash
    try:
        return _block(connection, hex(since.block)).hash == since.block_hash
    except (ChainUnreachable, VerificationFailed):
        return False


def _told(connection: Connection, logs: list[Mapping[str, Any]]) -> tuple[frozenset[TaskId], frozenset[TaskId]]:
    """(tasks posted, tasks touched)."""
    places, posting = _places(), abi.load("TaskMarket").events["TaskPosted"].topic
    posted, touched = set(), set()
    for log in logs:
        topics = log.get("topics")
        given = [connection.rpc.as_data(_LOGS, topic) for topic in topics] if isinstance(topics, list) else []
        place = places.get(given[0]) if given else None
        if place is not None and place < len(given):
            task_id = TaskId(int.from_bytes(given[place], "big"))
            touched.add(task_id)
            if given[0] == posting:
                posted.add(task_id)
    return frozenset(posted), frozenset(touched)


@cache
def _places() -> dict[bytes, int]:
    """Which topic of an event is the task's id."""
    return {
        event.topic: position
        for contract in ("TaskMarket", "AuditorPool")
        for event in abi.load(contract).events.values()
        for position, item in enumerate(event.indexed, 1)
        if item["name"] == "taskId"
    }


def _news(head: _Head, posted: frozenset[TaskId], touched: frozenset[TaskId] | None) -> News:
    return News(head.number, head.hash, Timestamp(head.time), posted, touched)

"""Reads a contract's log in block ranges that the node accepts, and believes only what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.rpc import Rpc, RpcError
from dlbc.core.types import Address

_METHOD = "eth_getLogs"


def read_logs(
    rpc: Rpc, address: Address, event: abi.Event, indexed: Sequence[object | None], first: int, last: int
) -> list[dict[str, Any]]:
    """Decoded logs of one event in blocks first … last, oldest first, each with block_number and log_index.

    `indexed` are the event's leading indexed values; None = any.

    A range that the node refuses is halved. Raises RpcError when it refuses even one block, VerificationFailed for
    logs that are malformed or were not asked for.
    """
    words = [
        None if value is None else "0x" + codec.encode([item], [value]).hex()
        for item, value in zip(event.indexed, indexed, strict=False)
    ]
    topics = ["0x" + event.topic.hex(), *words]
    span = max(1, last - first + 1)
    found: list[tuple[int, int, dict[str, Any]]] = []
    while first <= last:
        end = min(last, first + span - 1)
        query = {"address": address, "topics": topics, "fromBlock": hex(first), "toBlock": hex(end)}
        try:
            logs = rpc.records(_METHOD, [query])
        except RpcError:
            if span == 1:
                raise
            span = max(1, span // 2)
            continue
        for log in logs:
            if log.get("removed") is True:
                continue
            values = decode_log(rpc, event, log, address, topics)
            values["log_index"] = rpc.as_quantity(_METHOD, log.get("logIndex"))
            found.append((values["block_number"], values["log_index"], values))
        first = end + 1
    return [values for _, _, values in sorted(found, key=lambda row: row[:2])]


def decode_log(
    rpc: Rpc, event: abi.Event, log: Mapping[str, Any], address: Address, asked: Sequence[str | None]
) -> dict[str, Any]:
    """Arguments by name, plus block_number. Raises VerificationFailed if address or leading topics differ."""
    topics = log.get("topics")
    if not isinstance(topics, list) or len(topics) < len(asked):
        raise rpc.malformed(_METHOD, "the log's topics")
    given = [rpc.as_data(_METHOD, topic) for topic in topics]
    if str(log.get("address")).lower() != address.lower() or any(
        want is not None and have != bytes.fromhex(want[2:]) for have, want in zip(given, asked, strict=False)
    ):
        raise rpc.malformed(_METHOD, "logs of the contract and topics that were asked for only")
    try:
        values = event.decode(given, rpc.as_data(_METHOD, log.get("data")))
    except codec.Undecodable as error:
        raise rpc.malformed(_METHOD, f"a {event.name} that decodes as its ABI says") from error
    return values | {"block_number": rpc.as_quantity(_METHOD, log.get("blockNumber"))}

"""Reads a contract's log in block ranges that the node accepts, and believes only what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.rpc import NoAnswerInTime, Rpc, RpcError
from dlbc.core.types import Address

LOGS_AT_ONCE = 2_000
"""What a range is sized for: so many logs are 1 to 4 MB of JSON, and one such answer is in memory at a time."""
FIRST_RANGE = 16
"""Blocks that are asked for first where nothing narrows the events down: a busy market may have dozens in each."""
FASTEST_CHANGE = 4
CALM = 16
"""Ranges served at a node's limit before it is asked for more again: the limit may have been one of results."""
TIMEOUTS = 4
"""Ranges that may take too long in a row before the node counts as one that does not answer."""
_METHOD = "eth_getLogs"


class Limit:
    """The largest range, in blocks, that a node serves, learned from what it refuses."""

    def __init__(self) -> None:
        self.blocks = 2**63
        self._calm = 0

    def refused(self, blocks: int) -> None:
        """A range of so many blocks is too large."""
        self.blocks = max(1, blocks // 2)
        self._calm = 0

    def served(self, blocks: int) -> None:
        """A range of so many blocks was answered."""
        if blocks < self.blocks:
            return
        self._calm += 1
        if self._calm >= CALM:
            self.blocks *= 2
            self._calm = 0


def read_logs(
    rpc: Rpc,
    limit: Limit,
    address: Address,
    event: abi.Event,
    indexed: Sequence[object | None],
    first: int,
    last: int,
) -> Iterator[dict[str, Any]]:
    """Decoded logs of one event in blocks first … last, oldest first, each with block_number and log_index.

    `indexed` are the event's leading indexed values; None = any.

    They are read as they are consumed. Ranges grow and shrink so that an answer holds about LOGS_AT_ONCE; one that the
    node refuses, or does not answer in time, is halved. Raises RpcError when it refuses even one block,
    VerificationFailed for logs that are malformed or were not asked for.
    """
    words = [
        None if value is None else "0x" + codec.encode([item], [value]).hex()
        for item, value in zip(event.indexed, indexed, strict=False)
    ]
    topics = ["0x" + event.topic.hex(), *words]
    query = {"address": address, "topics": topics}
    span = last - first + 1 if any(words) else FIRST_RANGE
    yield from _read(rpc, limit, query, lambda log: decode_log(rpc, event, log, address, topics), span, first, last)


def read_mixed_logs(
    rpc: Rpc, limit: Limit, kinds: Mapping[Address, Sequence[abi.Event]], first: int, last: int
) -> Iterator[tuple[abi.Event, dict[str, Any]]]:
    """Logs of these events of these contracts in blocks first … last, in the order in which they happened. As
    `read_logs` else.
    """
    by_topic = {
        (address.lower(), "0x" + event.topic.hex()): (event, address)
        for address, events in kinds.items()
        for event in events
    }
    kind_of: dict[tuple[int, int], abi.Event] = {}

    def decode(log: Mapping[str, Any]) -> dict[str, Any]:
        topics = log.get("topics")
        topic = str(topics[0]).lower() if isinstance(topics, list) and topics else ""
        found = by_topic.get((str(log.get("address")).lower(), topic))
        if found is None:
            raise rpc.malformed(_METHOD, "logs of the contracts and events that were asked for only")
        event, address = found
        values = decode_log(rpc, event, log, address, [topic])
        kind_of[values["block_number"], rpc.as_quantity(_METHOD, log.get("logIndex"))] = event
        return values

    query = {"address": list(kinds), "topics": [sorted({topic for _, topic in by_topic})]}
    for values in _read(rpc, limit, query, decode, FIRST_RANGE, first, last):
        yield kind_of.pop(_place(values)), values


def _read(
    rpc: Rpc,
    limit: Limit,
    query: Mapping[str, object],
    decode: Callable[[Mapping[str, Any]], dict[str, Any]],
    span: int,
    first: int,
    last: int,
) -> Iterator[dict[str, Any]]:
    """Range by range, `span` blocks at first."""
    timeouts = 0
    while first <= last:
        span = min(span, limit.blocks, last - first + 1)
        end = first + span - 1
        asked = {**query, "fromBlock": hex(first), "toBlock": hex(end)}
        try:
            logs = rpc.records(_METHOD, [asked], once_in_time=True)
        except (RpcError, NoAnswerInTime) as error:
            timeouts = timeouts + 1 if isinstance(error, NoAnswerInTime) else 0
            if span == 1 or timeouts == TIMEOUTS:
                raise
            limit.refused(span)
            continue
        timeouts = 0
        limit.served(span)
        yield from _in_order(rpc, [_decoded(rpc, decode, log, first, end) for log in logs])
        first = end + 1
        span = _next_span(span, len(logs))


def decode_log(
    rpc: Rpc, event: abi.Event, log: Mapping[str, Any], address: Address, asked: Sequence[str | None]
) -> dict[str, Any]:
    """Arguments by name, plus block_number and tx_hash (as the node wrote it, unchecked).

    Raises VerificationFailed if address or leading topics differ.
    """
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
    values["block_number"] = rpc.as_quantity(_METHOD, log.get("blockNumber"))
    values["tx_hash"] = log.get("transactionHash")
    return values


def _decoded(
    rpc: Rpc, decode: Callable[[Mapping[str, Any]], dict[str, Any]], log: Mapping[str, Any], first: int, end: int
) -> dict[str, Any]:
    """One log of a range, with its place. Empty for one that a reorganisation removed."""
    if log.get("removed") is True:
        return {}
    values = decode(log)
    if not first <= values["block_number"] <= end:
        raise rpc.malformed(_METHOD, "logs of the blocks that were asked for only")
    values["log_index"] = rpc.as_quantity(_METHOD, log.get("logIndex"))
    return values


def _in_order(rpc: Rpc, logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Oldest first. Raises VerificationFailed for one that is there twice."""
    found = sorted((values for values in logs if values), key=_place)
    if any(_place(one) == _place(other) for one, other in pairwise(found)):
        raise rpc.malformed(_METHOD, "each log once")
    return found


def _place(values: Mapping[str, Any]) -> tuple[int, int]:
    return values["block_number"], values["log_index"]


def _next_span(span: int, logs: int) -> int:
    """So many blocks that they should hold LOGS_AT_ONCE, if those that follow are like these."""
    wanted = span * LOGS_AT_ONCE // max(1, logs)
    return max(1, span // FASTEST_CHANGE, min(wanted, span * FASTEST_CHANGE))

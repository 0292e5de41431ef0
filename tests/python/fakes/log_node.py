"""A node that serves one event's log from memory, within limits of its own; the client's checks of answers are real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.rpc import NoAnswerInTime, Rpc, RpcError
from dlbc.core.types import Address

EVENT = abi.load("TaskMarket").events["TaskAborted"]
MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")


class LogNode(Rpc):
    """`blocks`: of each TaskAborted; the task ids count from 1. Refuses or stalls beyond its limits."""

    def __init__(
        self, blocks: Sequence[int], *, most_blocks: int = 2**63, most_logs: int = 2**63, slow_blocks: int = 2**63
    ) -> None:
        super().__init__("http://127.0.0.1:1")
        self.logs = [_log(number, block) for number, block in enumerate(blocks, start=1)]
        self.most_blocks, self.most_logs, self.slow_blocks = most_blocks, most_logs, slow_blocks
        self.ranges: list[tuple[int, int]] = []
        """That were answered."""
        self.asked = 0

    def request(self, method: str, params: Sequence[object], *, once_in_time: bool = False) -> Any:
        """eth_getLogs of one event."""
        (query,) = params
        assert isinstance(query, dict)
        self.asked += 1
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if last - first + 1 > self.slow_blocks:
            raise NoAnswerInTime("slow")
        if last - first + 1 > self.most_blocks:
            raise RpcError("block range too large")
        subject = query["topics"][1] if len(query["topics"]) > 1 else None
        found = [
            log
            for log in self.logs
            if first <= int(log["blockNumber"], 16) <= last and subject in (None, log["topics"][1])
        ]
        if len(found) > self.most_logs:
            raise RpcError(f"query returned more than {self.most_logs} results")
        self.ranges.append((first, last))
        return found[::-1]


def _log(number: int, block: int) -> dict[str, Any]:
    words = [codec.encode([item], [value]) for item, value in zip(EVENT.indexed, (number, 0), strict=True)]
    return {
        "address": MARKET.lower(),
        "topics": ["0x" + word.hex() for word in (EVENT.topic, *words)],
        "data": "0x",
        "blockNumber": hex(block),
        "logIndex": hex(number),
    }

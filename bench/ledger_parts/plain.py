"""The loop that web3's documentation suggests: for each block its events, its stored hash and its winner, one by one.

It checks less than `dlbc ledger verify`: hash, link, stored hash, winner, terms of the task by their stored hash,
commitment and signature of the winner. What it leaves out would only make it slower.
"""

from __future__ import annotations

import time
from typing import Any

from dlbc.adapters.chain import abi
from dlbc.adapters.chain.record import Deployment
from eth_abi import encode
from eth_account import Account
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3

HEADER = [
    *("uint16", "uint64", "bytes32", "uint256", "uint16", "bytes32", "bytes32", "address"),
    *("uint64", "uint32", "uint64", "uint128", "uint40", "uint32"),
]


def blocks_per_second(url: str, where: Deployment, first: int, count: int) -> float:
    """Of `count` blocks from height `first` on."""
    w3 = Web3(HTTPProvider(url))
    market = w3.eth.contract(where.market, abi=abi.artifact("TaskMarket")["abi"])
    registry = w3.eth.contract(where.registry, abi=abi.artifact("ModelRegistry")["abi"])
    ledger_hash = registry.functions.blockHash(first - 1).call() if first else registry.functions.genesisHash().call()
    began = time.perf_counter()
    for height in range(first, first + count):
        ledger_hash = _verify(w3, market, registry, where, height, ledger_hash)
    return count / (time.perf_counter() - began)


def _verify(w3: Any, market: Any, registry: Any, where: Deployment, height: int, previous: bytes) -> bytes:
    (appended,) = registry.events.BlockAppended.get_logs(
        argument_filters={"height": height}, from_block=where.block_number
    )
    header = appended["args"]["header"]
    values = list(header.values()) if hasattr(header, "values") else list(header)
    task, index, miner = values[3], values[4], values[7]
    found = keccak(encode(HEADER, values))
    assert (found, previous) == (registry.functions.blockHash(height).call(), values[2])
    assert registry.functions.winnerOf(task, index).call()[0] == miner
    assert w3.eth.get_block(appended["blockNumber"])["timestamp"] == values[12]

    def events(name: str, **only: Any) -> Any:
        return getattr(market.events, name).get_logs(argument_filters=only, from_block=where.block_number)

    (posted,) = events("TaskPosted", taskId=task)
    assert market.functions.taskOf(task).call()[-1] == posted["args"]["termsHash"]
    assert len(events("TestSetReleased", taskId=task, round=index)) == 1
    commits = events("ModelCommitted", taskId=task, round=index, miner=miner)
    (reveal,) = events("ClaimRevealed", taskId=task, round=index, miner=miner)
    (_,) = events("ModelOpened", taskId=task, round=index, miner=miner)
    (_,) = events("RoundSettled", taskId=task, round=index)
    proof, claim = (_values(reveal["args"][name]) for name in ("proof", "claim"))
    digest = market.functions.proofDigest(tuple(proof)).call()
    opened = keccak(encode(["bytes32", "bytes32"], [digest, reveal["args"]["salt"]]))
    assert opened == commits[-1]["args"]["commitment"]
    kind = keccak(text="ScoreClaim(bytes32 proof,uint64 total,bytes32 predictionsRoot,bytes32 predictions)")
    struct = keccak(encode(["bytes32", "bytes32", "uint64", "bytes32", "bytes32"], [kind, digest, *claim]))
    message = keccak(b"\x19\x01" + market.functions.domainSeparator().call() + struct)
    assert Account._recover_hash(message, signature=reveal["args"]["signature"]) == miner
    return found


def _values(struct: Any) -> list[Any]:
    return list(struct.values()) if hasattr(struct, "values") else list(struct)

"""Transactions on their way, and how those that an earlier process left there are found again.

What a node tells of a transaction is a stranger's word: it counts only if our own key signed it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from dlbc.adapters.chain import abi
from dlbc.adapters.chain.rpc import Rpc, RpcError
from dlbc.core.types import Address, Hash32

LOG_BYTES = 2**16
"""Of the list of what was sent; it is cut to its newest half when it grows beyond."""
MAX_WAITING = 64
"""Nonces that are looked at: a lying count must not keep us busy for ever."""
_NUMBERS = ("chainId", "nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")

Key = tuple[Address | None, bytes, int]
"""(to, data, value): the same call."""


@dataclass(slots=True)
class Flight:
    """A signed transaction that may be on its way, and the cheaper ones of the same nonce that it replaced."""

    call: str
    tx_hash: Hash32
    raw: bytes
    transaction: Mapping[str, Any]
    replaced: tuple[Hash32, ...] = ()
    empty: frozenset[Hash32] = frozenset()
    """Those of its transactions that only use up the nonce, because the contract would refuse the call."""

    @property
    def nonce(self) -> int:
        return int(self.transaction["nonce"])

    @property
    def key(self) -> Key:
        data = bytes.fromhex(self.transaction["data"][2:])
        return self.transaction.get("to"), data, self.transaction["value"]

    @property
    def hashes(self) -> tuple[Hash32, ...]:
        """Of all its transactions, of which at most one is ever mined."""
        return self.tx_hash, *self.replaced


class SentLog:
    """Nonce, hash and call of what an account sends, one a line, written before it leaves. No secret is in it."""

    def __init__(self, folder: Path | None, chain_id: int, account: Address) -> None:
        """Without a folder nothing is kept."""
        self._file = None if folder is None else folder / f"{chain_id}-{account}.log"
        self._last: Hash32 | None = None

    def note(self, flight: Flight) -> None:
        """Durable when it returns. Raises OSError."""
        if self._file is None or flight.tx_hash == self._last:
            return
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        line = f"{flight.nonce} {flight.tx_hash.hex()} {flight.call}\n".encode()
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
            grown = stream.tell() > LOG_BYTES
        if grown:
            self._cut(self._file)
        self._last = flight.tx_hash

    def since(self, nonce: int) -> dict[int, dict[Hash32, str]]:
        """{nonce: {hash: call}} from this nonce on, the newest hash first. What can't be read is passed over."""
        found: dict[int, dict[Hash32, str]] = {}
        try:
            lines = [] if self._file is None else self._file.read_bytes().decode("utf-8", "replace").splitlines()
        except OSError:
            return {}
        for line in reversed(lines):
            number, _, rest = line.partition(" ")
            digits, _, call = rest.partition(" ")
            try:
                tx_hash = Hash32(bytes.fromhex(digits))
            except ValueError:
                continue
            if number.isdecimal() and len(tx_hash) == 32 and nonce <= int(number) < nonce + MAX_WAITING:
                found.setdefault(int(number), {})[tx_hash] = call
        return found

    @staticmethod
    def _cut(file: Path) -> None:
        kept = file.read_bytes()[-LOG_BYTES // 2 :].partition(b"\n")[2]
        fresh = file.with_suffix(".new")
        fresh.write_bytes(kept)
        fresh.chmod(0o600)
        fresh.replace(file)


def find_waiting(rpc: Rpc, chain_id: int, account: Address, nonce: int, noted: Mapping[Hash32, str]) -> Flight | None:
    """The account's transaction of this nonce that waits for a block, if the node shows it."""
    for record in _shown(rpc, account, nonce, list(noted)):
        flight = _flight(record, chain_id, account, nonce)
        if flight is not None:
            flight.call = noted.get(flight.tx_hash, flight.call)
            flight.replaced = tuple(other for other in noted if other != flight.tx_hash)
            return flight
    return None


def _shown(rpc: Rpc, account: Address, nonce: int, hashes: Sequence[Hash32]) -> Iterator[Mapping[str, Any]]:
    """What the node has to say about it; not every node has all of these methods."""
    for tx_hash in hashes:
        yield from _records(rpc, "eth_getTransactionByHash", ["0x" + tx_hash.hex()])
    yield from _records(rpc, "eth_getTransactionBySenderAndNonce", [account, hex(nonce)])
    for pool in _records(rpc, "txpool_contentFrom", [account]):
        for part in (pool.get("pending"), pool.get("queued")):
            record = part.get(str(nonce)) if isinstance(part, Mapping) else None
            if isinstance(record, Mapping):
                yield record
    for block in _records(rpc, "eth_getBlockByNumber", ["pending", True]):
        listed = block.get("transactions")
        for record in listed if isinstance(listed, list) else ():
            if isinstance(record, Mapping) and str(record.get("from")).lower() == account.lower():
                yield {**record, "blockNumber": None}


def _records(rpc: Rpc, method: str, params: list[object]) -> Iterator[Mapping[str, Any]]:
    try:
        record = rpc.record(method, params)
    except RpcError:  # the node has no such method, or no such block
        return
    if record is not None:
        yield record


def _flight(record: Mapping[str, Any], chain_id: int, account: Address, nonce: int) -> Flight | None:
    """Rebuilt from its fields and its signature; None unless it is what our key signed, and waits."""
    from eth_account import Account
    from eth_account.typed_transactions.typed_transaction import TypedTransaction

    if record.get("blockNumber") is not None or record.get("accessList"):
        return None
    try:
        transaction: dict[str, Any] = {name: int(record[name], 16) for name in _NUMBERS}
        transaction |= {"type": 2, "data": str(record["input"])}
        if record.get("to") is not None:
            transaction["to"] = to_checksum_address(record["to"])
        signature = {name: int(record[name], 16) for name in ("v", "r", "s")}
        raw = TypedTransaction.from_dict({**transaction, "accessList": [], **signature}).encode()
        signer = Account.recover_transaction(raw)
        if (signer, transaction["chainId"], transaction["nonce"]) != (account, chain_id, nonce):
            return None
        return Flight(_call(transaction), Hash32(keccak(raw)), raw, transaction)
    except Exception:  # noqa: BLE001  (whatever a stranger's fields do to the libraries, it is none of ours)
        return None


def _call(transaction: Mapping[str, Any]) -> str:
    """What it calls, by its selector."""
    selector = bytes.fromhex(transaction["data"][2:10])
    if not selector:
        return "pay"
    functions = (abi.load(contract).functions.values() for contract in ("TaskMarket", "AuditorPool", "ModelRegistry"))
    known = {function.selector: function.name for each in functions for function in each}
    return known.get(selector, "0x" + selector.hex())

"""Sends one account's transactions: simulate, price, sign, broadcast, wait, read back.

A transaction is signed once and its bytes are kept until it is mined, so that repeating a call after a timeout or a
lost answer finds the first transaction instead of sending a second one. If fees rise meanwhile, it is replaced by one
of the same nonce, so that at most one of them counts. A transaction that a reorganisation drops after it was mined is
not ours to send again: roles decide from what the chain tells, and make the same call anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from dlbc.adapters.chain.errors import refusal
from dlbc.adapters.chain.rpc import Rpc, RpcError
from dlbc.core.errors import ChainUnreachable, ContractRefused, Refused, TryLater, Usage
from dlbc.core.types import Address, Hash32, Wei
from dlbc.core.units import format_amount
from dlbc.ports import Keys

ATTEMPTS = 6
MAX_TIP = 50 * 10**9
"""Wei per gas: a lying node must not make us pay the account away."""
DEFAULT_TIP = 10**9
GAS_TO_SPARE = 60_000
"""Checkpoints of one second are one: who estimates in it and is mined in the next writes two slots more."""
MAX_GAS = 30_000_000
FIRST_POLL = 0.02
LONGEST_POLL = 1.0
REBROADCAST_SECONDS = 5.0
RAISE_SECONDS = 20.0
"""How long a transaction may wait for a block before its price is looked at again."""
GWEI = 10**9

Report = Callable[..., None]
"""report(event, **keys); never a secret."""


def unheard(event: str, **keys: object) -> None:
    """A Report that nobody listens to."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What the account's owner says about sending."""

    max_fee: Wei | None = None  # most wei for one gas; None: whatever the chain asks
    report: Report = unheard


FREELY = Sending()


@dataclass(frozen=True, slots=True)
class Mined:
    """A mined and successful transaction."""

    tx_hash: Hash32
    block_number: int
    gas_used: int
    logs: tuple[Mapping[str, Any], ...]


@dataclass(slots=True)
class _Flight:
    """A signed transaction that may be on its way, and the cheaper ones of the same nonce that it replaced."""

    call: str
    tx_hash: Hash32
    raw: bytes
    transaction: Mapping[str, Any]
    replaced: tuple[Hash32, ...] = ()


class Sender:
    """Transactions of one account on one chain. Not for use by two threads at once."""

    def __init__(
        self,
        rpc: Rpc,
        chain_id: int,
        keys: Keys,
        deadline: float,
        sending: Sending = FREELY,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`deadline`: seconds to wait for a transaction to be mined."""
        self._sending = sending
        self._rpc = rpc
        self._chain_id = chain_id
        self._keys = keys
        self._deadline = deadline
        self._sleep = sleep
        self._monotonic = monotonic
        self._flights: dict[tuple[Address | None, bytes, int], _Flight] = {}

    def send(self, call: str, to: Address | None, data: bytes, value: int = 0) -> Mined:
        """Sends `data` to a contract, or creates one when `to` is None; returns once it is mined.

        Raises ContractRefused with the decoded reason, Refused when the account can't pay (both before anything is
        sent, unless the chain changed in between), TryLater while gas costs more than the owner allows,
        ChainUnreachable when it is not mined in time or the node is gone.
        """
        key = (to, data, value)
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(FIRST_POLL * 2**attempt)
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = self._sign(call, to, data, value)
            else:
                self._raise_fee(flight)
            refused = self._broadcast(flight)
            if refused is not None:
                del self._flights[key]
                if not _is_nonce_taken(refused):
                    raise self._rejected(call, refused) from refused
                continue
            found = self._wait(call, flight)
            del self._flights[key]
            if found is not None:
                return self._mined(call, flight, *found)
        raise ChainUnreachable(
            f"{call}: another program keeps sending from {self._keys.address}, its nonce was taken {ATTEMPTS} times; "
            "use one account per program, then try again"
        )

    # ------------------------------------------------------------------ before

    def _sign(self, call: str, to: Address | None, data: bytes, value: int) -> _Flight:
        """Simulates, prices and signs. Nothing leaves this machine."""
        sender = self._keys.address
        request = {"from": sender, "data": "0x" + data.hex(), "value": hex(value)}
        if to is not None:
            request["to"] = to
        balance = self._rpc.quantity("eth_getBalance", [sender, "latest"])
        if balance < value:
            raise _too_poor(call, sender, value, balance)
        self._simulate(call, request)
        gas = min(MAX_GAS, self._estimate(call, request) * 5 // 4 + GAS_TO_SPARE)
        fee, tip = self._fees_allowed(call)
        if balance < value + gas * fee:
            raise _too_poor(call, sender, value + gas * fee, balance)
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": self._rpc.quantity("eth_getTransactionCount", [sender, "pending"]),
            "data": "0x" + data.hex(),
            "value": value,
            "gas": gas,
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": tip,
        }
        if to is not None:
            transaction["to"] = to
        raw = self._keys.sign_transaction(transaction)
        return _Flight(call, Hash32(keccak(raw)), raw, transaction)

    def _raise_fee(self, flight: _Flight) -> None:
        """Replaces a transaction that was left behind by rising fees; nodes ask for an eighth more."""
        fee, tip, _ = self._fees()
        old_fee, old_tip = flight.transaction["maxFeePerGas"], flight.transaction["maxPriorityFeePerGas"]
        if fee <= old_fee or self._receipt(flight) is not None:
            return
        least_fee, least_tip = old_fee * 9 // 8 + 1, old_tip * 9 // 8 + 1
        ceiling = self._sending.max_fee
        if ceiling is not None and least_fee > ceiling:
            self._sending.report("fee_at_ceiling", **_prices(flight, old_fee, fee), max_fee_gwei=_gwei(ceiling))
            return
        fee = max(fee if ceiling is None else min(fee, ceiling), least_fee)
        raised = {"maxFeePerGas": fee, "maxPriorityFeePerGas": min(fee, max(tip, least_tip))}
        transaction = {**flight.transaction, **raised}
        raw = self._keys.sign_transaction(transaction)
        replacement = _Flight(flight.call, Hash32(keccak(raw)), raw, transaction, (*flight.replaced, flight.tx_hash))
        if self._broadcast(replacement) is None:
            flight.tx_hash, flight.raw = replacement.tx_hash, replacement.raw
            flight.transaction, flight.replaced = transaction, replacement.replaced
            self._sending.report("fee_raised", **_prices(flight, old_fee, fee))

    def _raise_fees_up_to(self, flight: _Flight) -> None:
        """This one's, and those of earlier nonces that were given up and now hold it back."""
        for other in list(self._flights.values()):
            if other.transaction["nonce"] <= flight.transaction["nonce"]:
                self._raise_fee(other)

    def _simulate(self, call: str, request: Mapping[str, str]) -> None:
        """A dry run in the pending block, whose time is the one the transaction would see."""
        try:
            self._rpc.request("eth_call", [request, "pending"])
        except RpcError as error:
            if is_revert(error):
                raise refusal(call, revert_data(error), error.message) from error
            try:  # a node without a pending block
                self._rpc.request("eth_call", [request, "latest"])
            except RpcError as second:
                raise self._rejected(call, second) from second

    def _estimate(self, call: str, request: Mapping[str, str]) -> int:
        try:
            return self._rpc.quantity("eth_estimateGas", [request, "pending"])
        except RpcError:
            try:
                return self._rpc.quantity("eth_estimateGas", [request])
            except RpcError as error:
                raise self._rejected(call, error) from error

    def _fees_allowed(self, call: str) -> tuple[int, int]:
        """(most per gas, tip per gas) in wei, as far as the owner allows. Raises TryLater while that is too little."""
        fee, tip, base = self._fees()
        ceiling = self._sending.max_fee
        if ceiling is None:
            return fee, tip
        if base >= ceiling:
            raise TryLater(
                f"{call}: one gas costs {_gwei(base)} gwei now, max_fee_gwei allows {_gwei(ceiling)}; it is sent when "
                "gas is cheaper, or raise max_fee_gwei"
            )
        return min(fee, ceiling), min(tip, ceiling)

    def _fees(self) -> tuple[int, int, int]:
        """(most per gas, tip per gas, base fee) in wei: good for six full blocks in a row."""
        block = self._rpc.record("eth_getBlockByNumber", ["latest", False])
        if block is None or "baseFeePerGas" not in block:
            raise Usage(f"{self._rpc.name}: the chain has no EIP-1559 base fee; use a chain that has")
        base = self._rpc.as_quantity("eth_getBlockByNumber", block["baseFeePerGas"])
        try:
            tip = min(MAX_TIP, self._rpc.quantity("eth_maxPriorityFeePerGas", []))
        except RpcError:
            tip = DEFAULT_TIP
        return 2 * base + tip, tip, base

    # ------------------------------------------------------------------ on its way

    def _broadcast(self, flight: _Flight) -> RpcError | None:
        """None if the node has the transaction, now or already; else why it did not take it."""
        try:
            self._rpc.request("eth_sendRawTransaction", ["0x" + flight.raw.hex()])
        except RpcError as error:
            # "already known" is no refusal, and our own first attempt, its answer lost, may be what took the nonce
            return None if self._is_known(flight) else error
        return None

    def _is_known(self, flight: _Flight) -> bool:
        hashes = (flight.tx_hash, *flight.replaced)
        return any(self._rpc.record("eth_getTransactionByHash", ["0x" + known.hex()]) is not None for known in hashes)

    def _receipt(self, flight: _Flight) -> tuple[Hash32, Mapping[str, Any]] | None:
        """Which of the flight's transactions was mined, with its receipt."""
        for tx_hash in (flight.tx_hash, *flight.replaced):
            receipt = self._rpc.record("eth_getTransactionReceipt", ["0x" + tx_hash.hex()])
            if receipt is not None and receipt.get("blockNumber") is not None:
                return tx_hash, receipt
        return None

    def _wait(self, call: str, flight: _Flight) -> tuple[Hash32, Mapping[str, Any]] | None:
        """The hash and receipt; None if another transaction took the nonce for good."""
        start = last_broadcast = last_look = self._monotonic()
        poll = FIRST_POLL
        try:
            while True:
                found = self._receipt(flight)
                if found is not None:
                    return found
                now = self._monotonic()
                if now - start > self._deadline:
                    break
                if now - last_broadcast > REBROADCAST_SECONDS:  # dropped by a full pool or a reorganisation
                    last_broadcast = now
                    refused = self._broadcast(flight)
                    if refused is not None and _is_nonce_taken(refused):
                        return None
                if now - last_look > RAISE_SECONDS:
                    last_look = now
                    self._raise_fees_up_to(flight)
                self._sleep(poll)
                poll = min(LONGEST_POLL, poll * 1.5)
        except ChainUnreachable as error:
            raise ChainUnreachable(f"{call}: sent as 0x{flight.tx_hash.hex()}, then {error}") from error
        raise ChainUnreachable(
            f"{call}: sent as 0x{flight.tx_hash.hex()} but not mined within {self._deadline:.0f} s; "
            "run the same command again, it continues with this transaction if it is still on its way"
        )

    # ------------------------------------------------------------------ after

    def _mined(self, call: str, flight: _Flight, tx_hash: Hash32, receipt: Mapping[str, Any]) -> Mined:
        method = "eth_getTransactionReceipt"
        if self._rpc.as_data(method, receipt.get("transactionHash")) != tx_hash:
            raise self._rpc.malformed(method, "the transaction that was asked for")
        block = self._rpc.as_quantity(method, receipt.get("blockNumber"))
        if self._rpc.as_quantity(method, receipt.get("status")) != 1:
            raise self._failed(call, flight, block)
        logs = receipt.get("logs")
        if not isinstance(logs, list) or not all(isinstance(log, Mapping) for log in logs):
            raise self._rpc.malformed(method, "a list of logs")
        gas = self._rpc.as_quantity(method, receipt.get("gasUsed"))
        return Mined(tx_hash, block, gas, tuple(logs))

    def _failed(self, call: str, flight: _Flight, block: int) -> ContractRefused:
        """Why a mined transaction failed: the same call again, in the state it met or left."""
        request = {
            "from": self._keys.address,
            "data": flight.transaction["data"],
            "value": hex(flight.transaction["value"]),
        }
        if "to" in flight.transaction:
            request["to"] = flight.transaction["to"]
        for state in (block, block - 1):
            try:
                self._rpc.request("eth_call", [request, hex(state)])
            except RpcError as error:
                if is_revert(error):
                    return refusal(call, revert_data(error), error.message)
        return ContractRefused(
            f"{call}: transaction 0x{flight.tx_hash.hex()} failed in block {block}, though the same call passes before "
            "and after it; look at the task's phase, then try again"
        )

    def _rejected(self, call: str, error: RpcError) -> Refused | ChainUnreachable:
        """The error for a request the node did not carry out."""
        if is_revert(error):
            return refusal(call, revert_data(error), error.message)
        if "insufficient funds" in error.message.lower():
            return Refused(f"{call}: {self._keys.address} can't pay for this; send it ether ({error.message[:120]})")
        return ChainUnreachable(f"{call}: {self._rpc.name} refused it ({error.message[:200]}); try again later")


def _is_nonce_taken(error: RpcError) -> bool:
    """True if another transaction has this nonce, mined or waiting."""
    message = error.message.lower()
    return "nonce too low" in message or "nonce is too low" in message or "underpriced" in message


def is_revert(error: RpcError) -> bool:
    """True if the contract refused, not the node."""
    return error.code == 3 or bool(revert_data(error)) or "revert" in error.message.lower()


def revert_data(error: RpcError) -> bytes:
    """Revert data wherever the node put it; empty if nowhere."""
    found = error.data.get("data") if isinstance(error.data, Mapping) else error.data
    if isinstance(found, str) and "0x" in found:
        try:
            return bytes.fromhex(found[found.index("0x") + 2 :])
        except ValueError:
            pass
    return b""


def _prices(flight: _Flight, paid: int, asked: int) -> dict[str, object]:
    """What is told of a price that rose."""
    told = {"call": flight.call, "nonce": flight.transaction["nonce"], "tx": flight.tx_hash}
    return told | {"from_gwei": _gwei(paid), "to_gwei": _gwei(asked)}


def _gwei(wei: int) -> str:
    """As people compare prices, exactly."""
    whole, part = divmod(wei, GWEI)
    return f"{whole}.{part:09d}".rstrip("0").rstrip(".")


def _too_poor(call: str, account: Address, needed: int, balance: int) -> Refused:
    return Refused(
        f"{call}: needs {format_amount(needed)} with gas, {account} has {format_amount(balance)}; send it more"
    )

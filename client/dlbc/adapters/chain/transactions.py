"""Sends one account's transactions: simulate, price, sign, broadcast, wait, read back.

A transaction is signed once and its bytes are kept until it is mined, so that repeating a call after a timeout or a
lost answer finds the first transaction instead of sending a second one. If fees rise meanwhile, it is replaced by one
of the same nonce, so that at most one of them counts. What an earlier process left on its way is finished before
anything new is signed, or taken over if it is the same call. A transaction that a reorganisation drops after it was
mined is not ours to send again: roles decide from what the chain tells, and make the same call anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from dlbc.adapters.chain.errors import refusal
from dlbc.adapters.chain.fees import Fees, affordable, allowed, fees_of, in_gwei, is_left_behind, read_fees, replacing
from dlbc.adapters.chain.flights import MAX_WAITING, Flight, Key, SentLog, find_waiting
from dlbc.adapters.chain.outcomes import Mined, read_mined, rejected, too_poor
from dlbc.adapters.chain.rpc import Rpc, RpcError
from dlbc.core.errors import ChainUnreachable, Refused, TooMuchGas
from dlbc.core.types import Address, Hash32, Wei
from dlbc.ports import Keys

ATTEMPTS = 6
GAS_TO_SPARE = 60_000
"""Checkpoints of one second are one: who estimates in it and is mined in the next writes two slots more."""
MAX_GAS = 30_000_000
EMPTY_GAS = 30_000
"""For a transaction to ourselves that does nothing."""
FIRST_POLL = 0.02
LONGEST_POLL = 1.0
REBROADCAST_SECONDS = 5.0
RAISE_SECONDS = 20.0
"""How long a transaction may wait for a block before its price is looked at again."""

Report = Callable[..., None]
"""report(event, **keys); never a secret."""


def unheard(event: str, **keys: object) -> None:
    """A Report that nobody listens to."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What the account's owner says about sending."""

    max_fee: Wei | None = None  # most wei for one gas; None: whatever the chain asks
    report: Report = unheard
    folder: Path | None = None  # where what was sent is listed, for the next process


FREELY = Sending()


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
        self._flights: dict[Key, Flight] = {}
        self._log = SentLog(sending.folder, chain_id, keys.address)

    def send(self, call: str, to: Address | None, data: bytes, value: int = 0, most_gas: int | None = None) -> Mined:
        """Sends `data` to a contract, or creates one when `to` is None; returns once it is mined.

        Raises ContractRefused with the decoded reason, Refused when the account can't pay, TooMuchGas (all before it is
        sent, unless the chain changed in between), TryLater while gas costs more than the owner allows,
        ChainUnreachable when it is not mined in time or the node is gone.
        """
        key = (to, data, value)
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(FIRST_POLL * 2**attempt)
            flight = self._flights.get(key)
            if flight is None:
                flight = self._finish_earlier(key) or self._sign(call, to, data, value, most_gas)
                self._forget(flight.nonce)
                self._flights[key] = flight
            else:
                self._raise_fee(flight)
            refused = self._broadcast(flight)
            if refused is not None:
                del self._flights[key]
                if not refused.is_nonce_taken:
                    raise self._rejected(call, refused) from refused
                continue
            found = self._wait(call, flight)
            del self._flights[key]
            if found is not None and found[0] not in flight.empty:
                return read_mined(self._rpc, call, self._request(flight), *found)
        raise ChainUnreachable(
            f"{call}: another program keeps sending from {self._keys.address}, its nonce was taken {ATTEMPTS} times; "
            "use one account per program, then try again"
        )

    def finish_sent(self) -> int:
        """Finishes what an earlier process of this account left on its way; how many are not mined after that.

        Raises ChainUnreachable when they are not mined in time.
        """
        self._finish_earlier(None)
        mined, known = self._nonces()
        return max(0, known - mined)

    def _forget(self, nonce: int) -> None:
        """Flights of this nonce that the node dropped: one must not replace the next of the same nonce."""
        for key in [key for key, flight in self._flights.items() if flight.nonce == nonce]:
            del self._flights[key]

    # ------------------------------------------------------------------ of an earlier process

    def _finish_earlier(self, key: Key | None) -> Flight | None:
        """Waits until all of it is mined, in order; stops at the call that is to be made anyway, and returns it."""
        mined, known = self._nonces()
        noted = self._log.since(mined)
        ours = {flight.nonce for flight in self._flights.values()}
        nonces = {*range(mined, min(known, mined + MAX_WAITING)), *noted} - ours
        found = {nonce: self._find(nonce, noted.get(nonce, {})) for nonce in sorted(nonces)}
        last = max((nonce for nonce, flight in found.items() if flight is not None or nonce < known), default=-1)
        for nonce in range(mined, last + 1):
            flight = found.get(nonce)
            if flight is not None:
                self._sending.report("transaction_taken_over", **_named(flight))
                self._raise_if_stuck(flight)
                if flight.key == key:
                    return flight
                self._finish(flight)
            elif nonce >= known and nonce not in ours:  # dropped, and what comes after it waits for it
                fees = allowed("fill a gap", read_fees(self._rpc), self._sending.max_fee)
                self._finish(self._signed("fill a gap", self._empty(nonce, fees)))
            elif nonce not in ours:
                self._wait_for_stranger(nonce)
        return None

    def _find(self, nonce: int, noted: Mapping[Hash32, str]) -> Flight | None:
        return find_waiting(self._rpc, self._chain_id, self._keys.address, nonce, noted)

    def _finish(self, flight: Flight) -> None:
        """Until its nonce is used."""
        key = flight.key
        self._flights[key] = flight
        try:
            if self._broadcast(flight) is None:
                self._wait(flight.call, flight)
        finally:
            del self._flights[key]

    def _raise_if_stuck(self, flight: Flight) -> None:
        """At once if no block can take it at this price."""
        if read_fees(self._rpc).base > fees_of(flight.transaction).most:
            self._raise_fee(flight)

    def _wait_for_stranger(self, nonce: int) -> None:
        """Until this nonce is used, or free. What it pays for is not known, so it is not ours to replace."""
        self._sending.report("transaction_unknown", nonce=nonce)
        start, poll = self._monotonic(), FIRST_POLL
        while self._monotonic() - start < self._deadline:
            mined, known = self._nonces()
            if not mined <= nonce < known:
                return
            self._sleep(poll)
            poll = min(LONGEST_POLL, poll * 1.5)
        raise ChainUnreachable(
            f"a transaction of {self._keys.address} with nonce {nonce} that this program does not know is not mined "
            f"within {self._deadline:.0f} s; replace it with the program that sent it, or wait, then try again"
        )

    def _nonces(self) -> tuple[int, int]:
        """(mined, mined or waiting) transactions of the account."""
        sender, method = self._keys.address, "eth_getTransactionCount"
        try:
            return self._rpc.quantity(method, [sender, "latest"]), self._rpc.quantity(method, [sender, "pending"])
        except RpcError as error:
            raise self._rejected(method, error) from error

    # ------------------------------------------------------------------ before

    def _sign(self, call: str, to: Address | None, data: bytes, value: int, most_gas: int | None) -> Flight:
        """Simulates, prices and signs. Nothing leaves this machine."""
        sender = self._keys.address
        request = {"from": sender, "data": "0x" + data.hex(), "value": hex(value)}
        if to is not None:
            request["to"] = to
        balance = self._rpc.quantity("eth_getBalance", [sender, "latest"])
        if balance < value:
            raise too_poor(call, sender, value, balance)
        self._simulate(call, request)
        estimate = self._estimate(call, request)
        if most_gas is not None and estimate > most_gas:
            raise TooMuchGas(f"{call}: it takes {estimate} gas, at most {most_gas} are paid for; nothing was sent")
        gas = min(MAX_GAS, estimate * 5 // 4 + GAS_TO_SPARE)
        fees = allowed(call, read_fees(self._rpc), self._sending.max_fee)
        offered = affordable(fees, gas, balance - value)
        if offered is None:
            raise too_poor(call, sender, value + gas * fees.most, balance)
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": self._rpc.quantity("eth_getTransactionCount", [sender, "pending"]),
            "data": "0x" + data.hex(),
            "value": value,
            "gas": gas,
            **offered.fields,
        }
        if to is not None:
            transaction["to"] = to
        return self._signed(call, transaction)

    def _signed(self, call: str, transaction: Mapping[str, Any]) -> Flight:
        raw = self._keys.sign_transaction(transaction)
        return Flight(call, Hash32(keccak(raw)), raw, transaction)

    def _empty(self, nonce: int, fees: Fees) -> dict[str, Any]:
        """Uses up a nonce."""
        fields = {"type": 2, "chainId": self._chain_id, "nonce": nonce, "to": self._keys.address}
        return {**fields, "data": "0x", "value": 0, "gas": EMPTY_GAS, **fees.fields}

    def _raise_fee(self, flight: Flight) -> None:
        """Replaces a transaction that was left behind by rising fees; by an empty one if its call came too late."""
        asked, offered = read_fees(self._rpc), fees_of(flight.transaction)
        if not is_left_behind(offered, asked) or self._receipt(flight) is not None:
            return
        ceiling = self._sending.max_fee
        fees = replacing(offered, asked, ceiling)
        if fees is None:
            told = {**_prices(flight, offered.most, asked.most), "max_fee_gwei": in_gwei(ceiling or 0)}
            self._sending.report("fee_at_ceiling", **told)
            return
        transaction, is_over = {**flight.transaction, **fees.fields}, False
        if asked.base > offered.most and self._would_fail(flight):
            transaction, is_over = self._empty(flight.nonce, fees), True
        replacement = self._signed(flight.call, transaction)
        replacement.replaced = flight.hashes
        refused = self._broadcast(replacement)
        if refused is not None:
            self._sending.report("fee_not_raised", **_named(flight), reason=refused.message[:160])
            return
        flight.tx_hash, flight.raw, flight.transaction = replacement.tx_hash, replacement.raw, transaction
        flight.replaced = replacement.replaced
        if is_over:
            flight.empty |= {flight.tx_hash}
            self._sending.report("transaction_emptied", **_named(flight))
        else:
            self._sending.report("fee_raised", **_prices(flight, offered.most, fees.most))

    def _would_fail(self, flight: Flight) -> bool:
        """True if the contract refuses the call now. Asked only while no block takes it: it must not meet itself."""
        try:
            self._rpc.request("eth_call", [self._request(flight), "pending"])
        except RpcError as error:
            return error.is_revert
        return False

    def _request(self, flight: Flight) -> dict[str, str]:
        """Its call, to be simulated."""
        transaction = flight.transaction
        request = {"from": self._keys.address, "data": transaction["data"], "value": hex(transaction["value"])}
        return request | ({"to": transaction["to"]} if "to" in transaction else {})

    def _raise_fees_up_to(self, flight: Flight) -> None:
        """This one's, and those of earlier nonces that were given up and now hold it back."""
        for other in list(self._flights.values()):
            if other.nonce <= flight.nonce:
                self._raise_fee(other)

    def _rejected(self, call: str, error: RpcError) -> Refused | ChainUnreachable:
        return rejected(self._rpc, self._keys.address, call, error)

    def _simulate(self, call: str, request: Mapping[str, str]) -> None:
        """A dry run in the pending block, whose time is the one the transaction would see."""
        try:
            self._rpc.request("eth_call", [request, "pending"])
        except RpcError as error:
            if error.is_revert:
                raise refusal(call, error.revert_data, error.message) from error
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

    # ------------------------------------------------------------------ on its way

    def _broadcast(self, flight: Flight) -> RpcError | None:
        """None if the node has the transaction, now or already; else why it did not take it."""
        try:
            self._log.note(flight)
        except OSError as error:
            self._sending.report("transaction_not_noted", **_named(flight), reason=str(error))
        try:
            self._rpc.request("eth_sendRawTransaction", ["0x" + flight.raw.hex()])
        except RpcError as error:
            # "already known" is no refusal, and our own first attempt, its answer lost, may be what took the nonce
            return None if self._is_known(flight) else error
        return None

    def _is_known(self, flight: Flight) -> bool:
        asked = ["0x" + known.hex() for known in flight.hashes]
        return any(self._rpc.record("eth_getTransactionByHash", [known]) is not None for known in asked)

    def _receipt(self, flight: Flight) -> tuple[Hash32, Mapping[str, Any]] | None:
        """Which of the flight's transactions was mined, with its receipt."""
        for tx_hash in flight.hashes:
            receipt = self._rpc.record("eth_getTransactionReceipt", ["0x" + tx_hash.hex()])
            if receipt is not None and receipt.get("blockNumber") is not None:
                return tx_hash, receipt
        return None

    def _wait(self, call: str, flight: Flight) -> tuple[Hash32, Mapping[str, Any]] | None:
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
                    if refused is not None and refused.is_nonce_taken:
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


def _named(flight: Flight) -> dict[str, object]:
    """Which one, in an event."""
    return {"call": flight.call, "nonce": flight.nonce, "tx": flight.tx_hash}


def _prices(flight: Flight, paid: int, asked: int) -> dict[str, object]:
    """What is told of a price that rose."""
    return _named(flight) | {"from_gwei": in_gwei(paid), "to_gwei": in_gwei(asked)}

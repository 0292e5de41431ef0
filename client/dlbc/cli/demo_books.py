"""What really was paid: every transaction of the local chain, read back from its blocks, nobody's word believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dlbc.adapters.chain import abi
from dlbc.adapters.devnet import anvil

CONTRACTS = {"market": "TaskMarket", "pool": "AuditorPool"}
OF_ADVANCE = {"VoteResolved": "advance: count the vote", "RoundSettled": "advance: settle"}
"""advance() does what is due; its log says what that was."""
MONEY = ("Withdrawn", "DividendPaid")
"""Events whose amounts are read."""


class Payment(NamedTuple):
    """Ether that left a contract."""

    source: str
    target: str
    wei: int


@dataclass(frozen=True, slots=True)
class Call:
    """One mined transaction to the market or its pool."""

    sender: str
    contract: str
    name: str  # of the function
    value_wei: int
    gas_used: int
    fee_wei: int  # for the gas
    has_succeeded: bool  # else it was reverted, and only the gas was paid
    payments: tuple[Payment, ...]
    dividend_wei: int = 0  # that the pool credited its sender


def read_books(rpc_url: str, names: Mapping[str, str], first_block: int) -> list[Call]:
    """Every call since a block, oldest first. names: by address, of all accounts and of CONTRACTS."""
    known = {address.lower(): name for address, name in names.items()}
    last = int(anvil.rpc(rpc_url, "eth_blockNumber"), 16)
    found = []
    for number in range(first_block, last + 1):
        for transaction in anvil.rpc(rpc_url, "eth_getBlockByNumber", hex(number), True)["transactions"]:
            if known.get(str(transaction["to"]).lower()) in CONTRACTS:
                receipt = anvil.rpc(rpc_url, "eth_getTransactionReceipt", transaction["hash"])
                found.append(read_call(transaction, receipt, known))
    return found


def read_call(transaction: Mapping[str, Any], receipt: Mapping[str, Any], known: Mapping[str, str]) -> Call:
    """A transaction and its receipt as the node tells them. known: names by address in small letters."""
    contract = known[transaction["to"].lower()]
    selector = bytes.fromhex(transaction["input"][2:10])
    functions = abi.load(CONTRACTS[contract]).functions.values()
    name = next((function.name for function in functions if function.selector == selector), "unknown")
    events = [event for log in receipt["logs"] if (event := _event(log, known)) is not None]
    if name == "advance":
        name = next((OF_ADVANCE[event] for _, event, _ in events if event in OF_ADVANCE), name)
    gas = int(receipt["gasUsed"], 16)
    return Call(
        sender=_name(transaction["from"], known),
        contract=contract,
        name=name,
        value_wei=int(transaction["value"], 16),
        gas_used=gas,
        fee_wei=gas * int(receipt["effectiveGasPrice"], 16),
        has_succeeded=receipt["status"] == "0x1",
        payments=tuple(
            Payment(source, _name(values["to"], known), int(values["amount_wei"]))
            for source, event, values in events
            if event == "Withdrawn"
        ),
        dividend_wei=sum(int(values["paid_wei"]) for _, event, values in events if event == "DividendPaid"),
    )


def flows_of(calls: Sequence[Call]) -> Counter[tuple[str, str]]:
    """Wei by (from, to): what came with calls, and what was withdrawn."""
    total: Counter[tuple[str, str]] = Counter()
    for call in calls:
        if call.has_succeeded and call.value_wei:
            total[call.sender, call.contract] += call.value_wei
        for source, target, wei in call.payments:
            total[source, target] += wei
    return total


def gas_of(calls: Sequence[Call]) -> dict[str, int]:
    """The most that one call of a kind used, in the order of the first ones."""
    most: dict[str, int] = {}
    for call in calls:
        if call.has_succeeded:
            most[call.name] = max(most.get(call.name, 0), call.gas_used)
    return most


def senders_of(calls: Sequence[Call], name: str) -> tuple[str, ...]:
    """Who made the calls of a kind, in order."""
    return tuple(call.sender for call in calls if call.has_succeeded and call.name == name)


def dividends_of(calls: Sequence[Call]) -> Counter[str]:
    """What each account took."""
    total: Counter[str] = Counter()
    for call in calls:
        total[call.sender] += call.dividend_wei
    return total


def _event(log: Mapping[str, Any], known: Mapping[str, str]) -> tuple[str, str, dict[str, Any]] | None:
    """(contract, event, its values if it is one of MONEY)."""
    contract = known.get(log["address"].lower(), "")
    if contract not in CONTRACTS:
        return None
    topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
    event = next((event for event in abi.load(CONTRACTS[contract]).events.values() if event.topic == topics[0]), None)
    if event is None:
        return None
    is_money = event.name in MONEY
    return contract, event.name, event.decode(topics, bytes.fromhex(log["data"][2:])) if is_money else {}


def _name(address: object, known: Mapping[str, str]) -> str:
    return known.get(str(address).lower(), str(address))

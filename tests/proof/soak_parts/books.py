"""The money of a whole run, read from the chain alone: every transaction and every event, to the wei."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dlbc.adapters.chain import abi
from dlbc.adapters.devnet.anvil import rpc
from dlbc.adapters.devnet.network import Network

CONTRACTS = {"market": "TaskMarket", "pool": "AuditorPool"}


@dataclass
class Books:
    """Wei by account (lower case) and by contract name."""

    calls: Counter[str] = field(default_factory=Counter)
    reverted: Counter[str] = field(default_factory=Counter)
    gas_wei: Counter[str] = field(default_factory=Counter)
    sent_wei: Counter[str] = field(default_factory=Counter)
    """By an account, to the contracts, with transactions that did not revert."""
    received_wei: Counter[str] = field(default_factory=Counter)
    """By an account, from the contracts."""
    paid_in_wei: Counter[str] = field(default_factory=Counter)
    """Into a contract, from accounts."""
    paid_out_wei: Counter[str] = field(default_factory=Counter)
    """By a contract, to accounts; what the market pays the pool is a line of its own."""
    market_to_pool_wei: int = 0
    events: Counter[str] = field(default_factory=Counter)
    purposes: Counter[str] = field(default_factory=Counter)
    """What the events say that was paid in, and credited, and what for."""
    commits: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    credited_wei: Counter[tuple[str, str]] = field(default_factory=Counter)
    withdrawn_wei: Counter[tuple[str, str]] = field(default_factory=Counter)
    strikes: list[dict[str, Any]] = field(default_factory=list)


def read_books(network: Network, first: int, last: int) -> Books:
    """Of the blocks first … last."""
    books = Books()
    addresses = {str(network.market).lower(): "market", str(network.pool).lower(): "pool"}
    functions = {
        (name, function.selector): function.name
        for name, artifact in CONTRACTS.items()
        for function in abi.load(artifact).functions.values()
    }
    events = {event.topic: event for name in CONTRACTS.values() for event in abi.load(name).events.values()}
    deposits: dict[int, int] = {}
    for number in range(first, last + 1):
        block = rpc(network.rpc_url, "eth_getBlockByNumber", hex(number), True)
        if not block["transactions"]:
            continue
        receipts = {
            receipt["transactionHash"]: receipt for receipt in rpc(network.rpc_url, "eth_getBlockReceipts", hex(number))
        }
        for transaction in block["transactions"]:
            receipt = receipts[transaction["hash"]]
            _enter_transaction(books, transaction, receipt, addresses, functions)
            for log in receipt["logs"]:
                name = addresses.get(log["address"].lower())
                event = events.get(bytes.fromhex(log["topics"][0][2:]))
                if name is not None and event is not None:
                    values = event.decode(
                        [bytes.fromhex(topic[2:]) for topic in log["topics"]], bytes.fromhex(log["data"][2:])
                    )
                    _enter_event(books, name, event.name, values, addresses, deposits)
    return books


def _enter_transaction(
    books: Books,
    transaction: Mapping[str, Any],
    receipt: Mapping[str, Any],
    addresses: Mapping[str, str],
    functions: Mapping[tuple[str, bytes], str],
) -> None:
    sender, to = transaction["from"].lower(), (transaction["to"] or "").lower()
    books.gas_wei[sender] += int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    contract = addresses.get(to, "")
    call = functions.get((contract, bytes.fromhex(transaction["input"][2:10])), "other")
    if int(receipt["status"], 16) != 1:
        books.reverted[call] += 1
        return
    books.calls[call] += 1
    value = int(transaction["value"], 16)
    if value and contract:
        books.sent_wei[sender] += value
        books.paid_in_wei[contract] += value


def _enter_event(
    books: Books,
    contract: str,
    name: str,
    values: Mapping[str, Any],
    addresses: Mapping[str, str],
    deposits: dict[int, int],
) -> None:
    books.events[name] += 1
    if name == "Withdrawn":
        to, amount = str(values["to"]).lower(), int(values["amount_wei"])
        books.withdrawn_wei[contract, str(values["account"]).lower()] += amount
        if addresses.get(to) == "pool":
            books.market_to_pool_wei += amount
        else:
            books.received_wei[to] += amount
            books.paid_out_wei[contract] += amount
    elif name == "Credited":
        books.credited_wei[contract, str(values["account"]).lower()] += int(values["amount_wei"])
    elif name == "TaskPosted":
        terms = values["terms"]
        rounds = len(values["test_commitments"])
        books.purposes["bounties"] += _of(terms, "bounty_wei") * rounds
        books.purposes["bonds"] += _of(terms, "bond_wei")
        deposits[int(values["task_id"])] = _of(terms, "deposit_wei")
    elif name == "ModelCommitted":
        entry = int(values["task_id"]), int(values["round"]), str(values["miner"]).lower()
        books.commits[entry] += 1
        if books.commits[entry] == 1:
            books.purposes["deposits"] += deposits[entry[0]]
    elif name == "Staked":
        books.purposes["stakes"] += int(values["amount_wei"])
    elif name == "RoundSettled":
        books.purposes["prizes"] += int(values["paid_wei"])
        books.purposes["fees"] += int(values["fee_wei"])
        books.purposes["royalties"] += int(values["royalty_wei"])
    elif name == "DepositReclaimed":
        books.purposes["deposits_reclaimed"] += int(values["amount_wei"])
    elif name == "ClaimStruck":
        books.strikes.append({key: values[key] for key in ("task_id", "round", "miner", "reason")})


def _of(terms: Any, name: str) -> int:
    return int(terms[name] if isinstance(terms, Mapping) else getattr(terms, name))


def shortages(
    books: Books,
    accounts: Mapping[str, str],
    before: Mapping[str, int],
    after: Mapping[str, int],
    holdings: Mapping[str, Mapping[str, int]],
) -> list[str]:
    """What does not add up: one sentence each.

    accounts: address by name; before, after: balances by name; holdings: of each contract balance, locked, credited.
    """
    found = []
    for name, address in accounts.items():
        key = address.lower()
        wanted = before[name] - books.gas_wei[key] - books.sent_wei[key] + books.received_wei[key]
        if after[name] != wanted:
            found.append(f"{name} holds {after[name]} wei, the chain's record makes it {wanted}")
    flows = {"market": -books.market_to_pool_wei, "pool": books.market_to_pool_wei}
    for name in CONTRACTS:
        held = holdings[name]
        wanted = books.paid_in_wei[name] - books.paid_out_wei[name] + flows[name]
        if held["balance"] != wanted:
            found.append(f"the {name} holds {held['balance']} wei, in less out is {wanted}")
        if held["balance"] != held["locked"] + held["credited"]:
            found.append(f"the {name} holds {held['balance']} wei and owes {held['locked'] + held['credited']}")
        owed = sum(wei for (where, _), wei in books.credited_wei.items() if where == name)
        gone = sum(wei for (where, _), wei in books.withdrawn_wei.items() if where == name)
        if owed - gone != held["credited"]:
            found.append(f"the {name} credited {owed} wei and paid {gone}, but says it owes {held['credited']}")
    stated = sum(books.purposes[name] for name in ("bounties", "bonds", "deposits"))
    if stated != books.paid_in_wei["market"]:
        found.append(f"{books.paid_in_wei['market']} wei came into the market, its events say {stated}")
    if books.purposes["stakes"] != books.paid_in_wei["pool"]:
        found.append(f"{books.paid_in_wei['pool']} wei came into the pool, its events say {books.purposes['stakes']}")
    return found


def by_person(books: Books, accounts: Mapping[str, str], before: Mapping[str, int], after: Mapping[str, int]) -> Any:
    """The money table: strings of wei, so that no reader of JSON rounds them."""
    table: dict[str, dict[str, str]] = defaultdict(dict)
    for name, address in accounts.items():
        key = address.lower()
        row = {
            "before": before[name],
            "sent": books.sent_wei[key],
            "received": books.received_wei[key],
            "gas": books.gas_wei[key],
            "after": after[name],
        }
        table[name] = {column: str(wei) for column, wei in row.items()}
    return table

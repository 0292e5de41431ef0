"""The demo's reading of the chain: calls by name, payments from the log."""

from __future__ import annotations

from typing import Any

import pytest
from dlbc.adapters.chain import abi
from dlbc.cli.demo_books import Call, Payment, dividends_of, flows_of, gas_of, read_call, senders_of

pytestmark = pytest.mark.unit

MARKET, POOL, ALICE = "0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cc" * 20
KNOWN = {MARKET: "market", POOL: "pool", ALICE: "alice"}


def transaction(contract: str, function: str, value: int = 0) -> dict[str, Any]:
    """As a node tells it; addresses may be in any case."""
    to, name = (MARKET, "TaskMarket") if contract == "market" else (POOL, "AuditorPool")
    selector = abi.load(name).functions[function].selector
    return {"from": ALICE.upper().replace("X", "x"), "to": to, "input": "0x" + selector.hex(), "value": hex(value)}


def receipt(*logs: dict[str, Any], status: str = "0x1") -> dict[str, Any]:
    """Of 100 gas at 7 wei."""
    return {"gasUsed": "0x64", "effectiveGasPrice": "0x7", "status": status, "logs": list(logs)}


def withdrawn(source: str, to: str, wei: int) -> dict[str, Any]:
    """The event of a withdrawal."""
    topic = abi.load("TaskMarket").events["Withdrawn"].topic
    padded = "0x" + "00" * 12 + to[2:]
    return {"address": source, "topics": ["0x" + topic.hex(), padded, padded], "data": "0x" + wei.to_bytes(32).hex()}


def test_read_call__stake__is_named_and_priced() -> None:
    """The function by its selector, the sender by its address, the fee by gas and price."""
    found = read_call(transaction("pool", "stake", 5), receipt(), KNOWN)
    assert found == Call("alice", "pool", "stake", 5, 100, 700, True, ())


def test_read_call__fees_pulled_by_the_pool__are_a_payment_of_the_market() -> None:
    """Whoever logs a withdrawal is whom it leaves, whichever contract was called."""
    found = read_call(transaction("pool", "collectFees"), receipt(withdrawn(MARKET, POOL, 9)), KNOWN)
    assert found.payments == (Payment("market", "pool", 9),)


def test_read_call__dividends_taken__are_counted_for_their_sender() -> None:
    """What the pool credits is read from its log, not from what is withdrawn later."""
    topic = abi.load("AuditorPool").events["DividendPaid"].topic
    words = b"".join(word.to_bytes(32) for word in (9, 0, 1, 1))
    log = {"address": POOL, "topics": ["0x" + topic.hex(), "0x" + "00" * 12 + ALICE[2:]], "data": "0x" + words.hex()}
    call = read_call(transaction("pool", "claimDividends"), receipt(log), KNOWN)
    assert (call.dividend_wei, call.payments) == (9, ())
    assert dividends_of([call, call]) == {"alice": 18}


def test_read_call__advance_that_counts_a_vote__is_named_after_what_it_did() -> None:
    """One function does what is due; its log tells which."""
    topic = abi.load("AuditorPool").events["VoteResolved"].topic
    log = {"address": POOL, "topics": ["0x" + topic.hex()], "data": "0x"}
    assert read_call(transaction("market", "advance"), receipt(log), KNOWN).name == "advance: count the vote"
    assert read_call(transaction("market", "advance"), receipt(), KNOWN).name == "advance"


def test_flows__calls_and_withdrawals__are_summed_by_who_pays_whom() -> None:
    """Value of a call that was reverted never moved, though its gas was paid."""
    calls = [
        Call("alice", "pool", "stake", 5, 100, 700, True, ()),
        Call("alice", "pool", "stake", 5, 300, 700, False, ()),
        Call("bob", "pool", "withdraw", 0, 50, 700, True, (Payment("pool", "alice", 4),)),
        Call("alice", "pool", "stake", 1, 120, 700, True, ()),
    ]
    assert flows_of(calls) == {("alice", "pool"): 6, ("pool", "alice"): 4}
    assert gas_of(calls) == {"stake": 120, "withdraw": 50}
    assert senders_of(calls, "stake") == ("alice", "alice")
